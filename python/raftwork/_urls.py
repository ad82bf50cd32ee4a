"""Where the cluster is."""

import os
from typing import List, Sequence, Union

DEFAULT_URL = "http://127.0.0.1:7001"


def node_urls(url: Union[str, Sequence[str], None]) -> List[str]:
    """The nodes that are meant: those given (comma list or sequence), else ``$RAFTWORK_URL``, else this machine's."""
    if url is None:
        url = os.environ.get("RAFTWORK_URL") or DEFAULT_URL
    if isinstance(url, str):
        url = url.split(",")
    return [one.strip() for one in url if one.strip()]
