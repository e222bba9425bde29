"""Protobuf messages for tests, built without protoc."""
