"""The benchmark suite: what ``bench/run`` runs."""
