"""Clients of RTMP, which publish and play; also those that connect again."""
