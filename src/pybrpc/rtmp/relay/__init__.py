"""RtmpRelay: gives what is published to all who play it, records it, pulls and pushes it."""
