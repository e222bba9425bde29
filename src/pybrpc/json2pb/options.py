"""JsonOptions: how messages are converted to JSON and back."""

from __future__ import annotations

import dataclasses

from pybrpc.base.checked_options import checked_count, checked_flag

MAX_DEPTH = 100
"""The parsers of protobuf refuse deeper messages too."""

MAX_JSON_BYTES = 8 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class JsonOptions:
    """bRPC's options, with its names and defaults (json2pb/pb_to_json.h, json_to_pb.h).

    pb_bytes_to_base64             `bytes` fields are base64 in JSON; False: they are UTF-8 text
    pb_enum_as_number              print the numbers of enum values, not their names
    always_print_primitive_fields  print scalar fields that are not set too, with their defaults
    jsonify_empty_array            print repeated fields that are empty too, as []
    array_to_single_repeated       an array may stand for a message that has one field, a repeated
                                   one
    single_repeated_to_array       print such a message as an array
    json2pb_max_recursion_depth    how deeply messages may be nested, 1 to 100; a map counts twice,
                                   as on the wire
    max_json_bytes                 bytes of a body of JSON or text that a server reads, 8 MiB. While
                                   it is read no other thread runs, for a second with 10 MiB or so,
                                   and its values take up to 25 times the memory. Not in bRPC
    """

    pb_bytes_to_base64: bool = True
    pb_enum_as_number: bool = False
    always_print_primitive_fields: bool = False
    jsonify_empty_array: bool = False
    array_to_single_repeated: bool = False
    single_repeated_to_array: bool = False
    json2pb_max_recursion_depth: int = MAX_DEPTH
    max_json_bytes: int = MAX_JSON_BYTES

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if field.type == "bool":
                checked_flag(field.name, getattr(self, field.name))
        checked_count(
            "json2pb_max_recursion_depth",
            self.json2pb_max_recursion_depth,
            least=1,
            most=MAX_DEPTH,
        )
        checked_count("max_json_bytes", self.max_json_bytes, least=1)


DEFAULT = JsonOptions()
