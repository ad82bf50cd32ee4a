"""A cluster of real processes on this machine, for development: what ``raftwork dev`` runs."""
