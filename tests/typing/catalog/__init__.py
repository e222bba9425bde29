"""A package with code that protoc and protoc-gen-pybrpc have made of catalog.proto.

test_protoc.py compares catalog_brpc.py with what the plugin makes now. There is no catalog_pb2.py: tests
have protoc make one that fits the protobuf runtime.
"""
