"""Messages for tests of JSON: those that bRPC's test/brpc_protobuf_json_unittest.cpp uses, and rich
ones, in proto2 and proto3, with everything that .proto files can say."""

from __future__ import annotations

from tests.protos.tables import make_messages

_PHONE = "MOBILE = 0, HOME = 1, WORK = 2"

addressbook = make_messages(
    "addressbook",
    {
        "Person": """
            required string name = 1
            required int32 id = 2
            optional string email = 3
            repeated Person.PhoneNumber phone = 4
            optional int64 data = 5
            optional sint32 data32 = 6
            optional sint64 data64 = 7
            required double datadouble = 8
            optional float datafloat = 9
            optional uint32 datau32 = 10
            optional uint64 datau64 = 11
            optional bool databool = 12
            optional bytes databyte = 13
            optional fixed32 datafix32 = 14
            optional fixed64 datafix64 = 15
            optional sfixed32 datasfix32 = 16
            optional sfixed64 datasfix64 = 17
            optional float datafloat_scientific = 18
            optional double datadouble_scientific = 19
            extensions 100 to 200
        """,
        "Person.PhoneNumber": """
            required string number = 1
            optional Person.PhoneType type = 2 [HOME]
        """,
        "AddressBook": "repeated Person person = 1",
    },
    enums={"Person.PhoneType": _PHONE},
    extensions="Person: optional string hobby = 100",
)

contents = make_messages(
    "",
    {
        "Ext": """
            optional fixed32 age = 2
            required bytes databyte = 3
            optional Ext.PhoneType enumtype = 4 [HOME]
        """,
        "Content": """
            optional string uid = 1
            required float distance = 16
            optional Ext ext = 17
        """,
        "JsonContextBody": """
            optional int64 type = 1
            repeated int32 data = 5
            repeated string info = 6
            required bool judge = 2
            required double spur = 3
            repeated Content content = 4
            optional float text = 7
        """,
        "RecursiveMessage": """
            optional RecursiveMessage child = 1
            optional string data = 2
        """,
    },
    enums={"Ext.PhoneType": _PHONE},
)

escaped = make_messages(
    "escaped",
    {
        "Ext": """
            optional fixed32 Aa_ge_Z040_ = 2
            optional bytes databyte_Z040_std_Z058__Z058_string_Z041_ = 3
            optional Ext.PhoneType enum_Z045__Z045_type = 4 [HOME]
        """,
        "Content": """
            optional string uid_Z042_ = 1
            required float Distance_info_ = 16
            optional Ext _ext_Z037_T_ = 17
        """,
        "Body": """
            repeated string info = 6
            optional int64 type = 1
            repeated int32 data_Z058_array = 5
            required bool judge = 2
            optional double spur = 3
            repeated Content _Z064_Content_Test_Z037__Z064_ = 4
        """,
        "Person": """
            optional string name = 1
            optional int32 id = 2
            optional Body json_body = 18
        """,
        "AddressBook": "repeated Person person = 1",
    },
    enums={"Ext.PhoneType": _PHONE},
)

maps = make_messages(
    "",
    {
        "AddressNoMap": "required string addr = 1",
        "AddressIntMap": """
            required string addr = 1
            repeated AddressIntMap.MapFieldEntry numbers = 2
        """,
        "AddressIntMap.MapFieldEntry": """
            required string key = 1
            required int32 value = 2
        """,
        "AddressStringMap": """
            required string addr = 1
            repeated AddressStringMap.MapFieldEntry contacts = 2
        """,
        "AddressStringMap.MapFieldEntry": """
            required string key = 1
            required string value = 2
        """,
        "AddressComplex": """
            required string addr = 1
            repeated AddressComplex.FriendEntry friends = 2
        """,
        "AddressComplex.FriendEntry": """
            required string key = 1
            repeated AddressComplex.FriendEntry.Education value = 2
        """,
        "AddressComplex.FriendEntry.Education": """
            required string school = 1
            required int32 year = 2
        """,
        "AddressIntMapStd": """
            required string addr = 1
            map<string, int32> numbers = 2
        """,
        "AddressStringMapStd": """
            required string addr = 1
            map<string, string> contacts = 2
        """,
    },
)

_SCALARS = """
    double _double = 1
    float _float = 2
    int32 _int32 = 3
    int64 _int64 = 4
    uint32 _uint32 = 5
    uint64 _uint64 = 6
    sint32 _sint32 = 7
    sint64 _sint64 = 8
    fixed32 _fixed32 = 9
    fixed64 _fixed64 = 10
    sfixed32 _sfixed32 = 11
    sfixed64 _sfixed64 = 12
    bool _bool = 13
    string _string = 14
    bytes _bytes = 15
    Kind _enum = 16
    Rich _message = 17
"""
_FIELDS = [line.strip() for line in _SCALARS.strip().splitlines()]


def _as(label: str, first: int, prefix: str) -> str:
    lines = []
    for index, line in enumerate(_FIELDS):
        type_name, name, _, _ = line.split()
        lines.append(f"{label} {type_name} {prefix}{name} = {first + index}")
    return "\n".join(lines)


_MAPS = """
    map<string, int64> text_ints = 70
    map<string, Rich> text_messages = 71
    map<string, bytes> text_bytes = 72
    map<string, Kind> text_enums = 73
    map<int32, string> int_texts = 74
    map<bool, double> bool_doubles = 75
    map<uint64, Rich> uint_messages = 76
    oneof choice: string chosen_text = 80
    oneof choice: int64 chosen_int = 81
    oneof choice: Rich chosen_message = 82
    optional string from = 83
    optional string self = 84
    optional string odd_Z045_name = 85
"""

rich = make_messages(
    "rich",
    {
        "Rich": f"""
            {_as("optional", 20, "o")}
            {_as("repeated", 40, "r")}
            {_MAPS}
            optional group grouped = 90
            repeated Inner inner = 91
            extensions 100 to 199
        """,
        "Inner": "required int32 id = 1\noptional Inner next = 2",
        "Grouped": "optional int32 a = 1",
    },
    enums={"Kind": "NONE = 0, ONE = 1, MINUS = -3"},
    extensions="""
        Rich: optional string extra_text = 100
        Rich: repeated sint64 extra_ints = 101
        Rich: optional Inner extra_message = 102
        Rich: repeated Inner extra_messages = 103
        Rich: optional Kind extra_enum = 104
        Rich: optional bytes extra_bytes = 105
    """,
)

rich3 = make_messages(
    "rich3",
    {
        "Rich": f"""
            {_as("optional", 1, "i").replace("optional ", "")}
            {_as("proto3_optional", 20, "o")}
            {_as("repeated", 40, "r")}
            {_MAPS.replace("optional", "")}
        """,
    },
    enums={"Kind": "NONE = 0, ONE = 1, MINUS = -3"},
    syntax="proto3",
)
