"""A package with code that protoc and protoc-gen-pybrpc have made of catalog.proto.

tests/golden/test_codegen.py compares catalog_brpc.py with what the plugin writes now. There is no
catalog_pb2.py: tests have protoc make one that fits the protobuf runtime. That which makes
catalog_pb2.pyi is `python -m grpc_tools.protoc -I. --pyi_out=. catalog.proto`.
"""
