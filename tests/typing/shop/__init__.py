"""A package with code that protoc and protoc-gen-pybrpc have made of shop.proto.

test_protoc.py compares shop_brpc.py with what the plugin makes now. There is no shop_pb2.py: tests
have protoc make one that fits the protobuf runtime.
"""
