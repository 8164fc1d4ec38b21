"""Speed, beside the peer, in one run on one machine."""
