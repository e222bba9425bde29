"""JSON to messages, by bRPC's rules (json2pb/json_to_pb.cpp).

Each message type has a plan: its fields in bRPC's order, with the conversion of each. Keys that no
field has are ignored. A value of the wrong type for an optional field is skipped, and reported as a
SkippedValue; for a required or repeated field it is an InvalidFieldError. null is as absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias, TypeVar

from google.protobuf.message import Message

from pybrpc.json2pb import json_values, schema
from pybrpc.json2pb.errors import (
    MAX_WARNINGS,
    ConversionError,
    DepthError,
    InvalidFieldError,
    InvalidInputError,
    MissingFieldError,
    SkippedValue,
    shown,
)
from pybrpc.json2pb.json_values import JsonText
from pybrpc.json2pb.names import decode_name
from pybrpc.json2pb.options import DEFAULT, JsonOptions
from pybrpc.json2pb.paths import join
from pybrpc.json2pb.scalars import Convert, Mismatch, Scalar, scalar_for, value_text
from pybrpc.json2pb.schema import ENTRY_KEY, ENTRY_VALUE, AnyDescriptor, AnyField

M = TypeVar("M", bound=Message)

TOO_DEEP = "Exceeded maximum recursion depth"
_FEW_FIELDS = 24
"""Looking for so many fields in an object costs about as much as going through a few keys."""


def json_to_message(
    data: JsonText,
    message_class: type[M],
    options: JsonOptions = DEFAULT,
    skipped: list[SkippedValue] | None = None,
    *,
    is_partial: bool = False,
) -> M:
    """The message that a JSON text describes. Time and memory are linear in its length.

    `data` is UTF-8; only the nesting of it is bounded, also where it is ignored: twice the depth
    that messages may have. Values that were skipped are appended to `skipped`, at most
    MAX_WARNINGS. With `is_partial` it may lack required fields, but not the messages in it.
    ConversionError if there is no message; TypeError if `data` is of another type.
    """
    plan = read_plan_for(message_class, options)
    found: M = plan.to_message(json_values.utf8_of(data), message_class, is_partial, skipped)
    return found


def read_plan_for(message_class: type[Message], options: JsonOptions) -> ReadPlan:
    """The plan by which JSON becomes messages of one class, for users of many of them."""
    return _PLANS.plan_for(message_class.DESCRIPTOR, options)


def iter_json_messages(
    data: JsonText, message_class: type[M], options: JsonOptions = DEFAULT
) -> Iterator[tuple[M, int]]:
    """The messages of JSON texts that follow each other, each with the offset of its end in bytes.

    Ends when only blanks are left. ConversionError as of `json_to_message`; the messages before
    have been given out. Like bRPC's allow_remaining_bytes_after_parsing, by the parser of the
    standard library.
    """
    plan = _PLANS.plan_for(message_class.DESCRIPTOR, options)
    run = _new_run(options)
    raw = json_values.utf8_of(data)
    end, counted = 0, 0
    try:
        reader = json_values.JsonReader(raw)
        while not reader.is_at_end():
            message = message_class()
            run = _new_run(options)
            plan.read_root(message, reader.read_value(), run)
            end += len(reader.text[counted : reader.position].encode())
            counted = reader.position
            yield message, end
    except (ConversionError, RecursionError) as error:
        raise run.final(error, plan.name) from None


class _Run:
    """One conversion: its limits, and what it has skipped, with paths from the message that is
    read at the moment."""

    __slots__ = ("is_partial", "max_depth", "skipped")

    is_partial: bool
    """Whether the message itself may lack required fields."""
    max_depth: int
    skipped: list[SkippedValue]

    def reject(self, field: _Field, value: Any, wanted: str, step: str) -> None:
        """Skip a value of the wrong type, or raise InvalidFieldError."""
        optional = "optional " if field.is_optional else ""
        text = (
            f"Invalid value `{value_text(value)}' for {optional}field `{field.full_name}' which "
            f"SHOULD be {wanted}"
        )
        if not optional:
            raise InvalidFieldError(text, step)
        if len(self.skipped) < MAX_WARNINGS:
            self.skipped.append(SkippedValue(step, text))

    def add_step(self, step: str, first: int) -> None:
        """Put `step` before the paths of what was skipped from `first` on."""
        for index in range(first, len(self.skipped)):
            one = self.skipped[index]
            self.skipped[index] = SkippedValue(join(step, one.path), one.text)

    def final(self, error: Exception, name: str) -> ConversionError:
        """The error that is raised: it knows what was skipped before."""
        if isinstance(error, InvalidInputError):
            return InvalidInputError(f"{error.reason} [{name}]", error.offset)
        if isinstance(error, ConversionError):
            return type(error)(error.reason, error.path, self.skipped)
        return DepthError(f"{TOO_DEEP} [{name}]", "", self.skipped)


def _new_run(options: JsonOptions, is_partial: bool = False) -> _Run:
    run = _Run.__new__(_Run)
    run.is_partial = is_partial
    run.max_depth = options.json2pb_max_recursion_depth
    run.skipped = []
    return run


Fill: TypeAlias = Callable[[Message, Any, int, _Run], None]
"""Sets a field to a JSON value; the number is the depth of the message."""


class _Field:
    """A field, for texts and paths."""

    __slots__ = ("full_name", "is_optional", "is_repeated", "is_required", "name", "scalar")

    def __init__(self, field: AnyField, options: JsonOptions) -> None:
        self.name = field.name
        self.full_name = field.full_name
        self.is_required = schema.is_required(field)
        self.is_repeated = schema.is_repeated(field)
        self.is_optional = not self.is_required and not self.is_repeated
        self.scalar = None if field.message_type is not None else scalar_for(field, options)


class _Row(NamedTuple):
    """One field in a plan. Scalars have `exact` and `convert`, all others `fill`."""

    key: str
    exact: type | None
    name: str
    convert: Convert | None
    fill: Fill | None
    is_required: bool
    field: _Field


class ReadPlan:
    """How messages of one type are read."""

    __slots__ = (
        "_descriptor",
        "_extensions",
        "_index",
        "_is_extendable",
        "_is_large",
        "_options",
        "_plain_rows",
        "_rows",
        "name",
    )

    def __init__(self, descriptor: AnyDescriptor, options: JsonOptions) -> None:
        self.name = descriptor.name
        self._descriptor = descriptor
        self._options = options
        self._is_extendable = descriptor.is_extendable
        self._extensions = 0
        self._prepare()

    def _prepare(self) -> None:
        fields = schema.fields_of(self._descriptor)
        rows = tuple(_row_for(field, self._options) for field in fields)
        by_key = {row.key: index for index, row in enumerate(rows)}
        required = [index for index, row in enumerate(rows) if row.is_required]
        # Compiled code takes just a tuple apart without an iterator, not a subclass.
        plain_rows = tuple(tuple(row) for row in rows)
        self._rows = rows
        self._plain_rows: tuple[tuple[Any, ...], ...] = plain_rows
        # Together, because another thread may be reading.
        self._index = plain_rows, by_key if len(by_key) == len(rows) else None, required
        self._is_large = len(rows) > _FEW_FIELDS
        self._extensions = len(rows) - len(self._descriptor.fields)

    def _refresh(self) -> None:
        """Find extensions that were made known since."""
        pool = self._descriptor.file.pool
        if len(pool.FindAllExtensions(self._descriptor)) != self._extensions:
            self._prepare()

    def _rows_in(self, value: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
        """The fields to look for in `value`, which has far fewer keys than there are fields."""
        rows, by_key, required = self._index
        if by_key is None:
            return rows
        found = {by_key[key] for key in value if key in by_key}
        return [rows[index] for index in sorted(found.union(required))]

    def to_message(
        self, raw: bytes, message_class: Any, is_partial: bool = False, skipped: Any = None
    ) -> Any:
        """The message of JSON in UTF-8, as by `json_to_message`; its class has the plan's type."""
        run = _new_run(self._options, is_partial)
        message = message_class()
        levels = 2 * run.max_depth + 2
        try:
            if len(raw) > levels and json_values.is_nested_deeper(raw, levels):
                raise DepthError(f"{TOO_DEEP} [{self.name}]")
            self.read_root(message, json_values.load_json(raw), run)
        except (ConversionError, RecursionError) as error:
            raise run.final(error, self.name) from None
        if skipped is not None:
            skipped += run.skipped
        return message

    def read_root(self, message: Message, value: Any, run: _Run) -> None:
        if isinstance(value, list) and self._options.array_to_single_repeated:
            if self._is_extendable:
                self._refresh()
            rows = self._rows
            if len(rows) != 1 or rows[0].fill is None or not rows[0].field.is_repeated:
                raise InvalidFieldError(f"the input json can't be array here [{self.name}]")
            rows[0].fill(message, value, 0, run)
        else:
            self.read(message, value, 0, run)

    def read(self, message: Message, value: Any, depth: int, run: _Run) -> None:
        """Set the fields of `message`, which is empty and `depth` levels below the root."""
        if depth > run.max_depth:
            raise DepthError(f"{TOO_DEEP} [{self.name}]")
        if not isinstance(value, dict):
            raise InvalidFieldError(f"The input is not a json object [{self.name}]")
        if self._is_extendable:
            self._refresh()
        rows: Iterable[tuple[Any, ...]] = self._plain_rows
        if self._is_large and len(self._plain_rows) > _FEW_FIELDS + 4 * len(value):
            rows = self._rows_in(value)
        get = value.get
        for key, exact, name, convert, fill, is_required, field in rows:
            item = get(key)
            if item is None:
                if is_required and (depth or not run.is_partial):
                    raise MissingFieldError(f"Missing required field: {field.full_name}", name)
                continue
            try:
                if type(item) is exact:
                    setattr(message, name, item)
                elif convert is not None:
                    setattr(message, name, convert(item))
                elif fill is not None:
                    fill(message, item, depth, run)
            except ConversionError as error:
                if fill is None:
                    error.path = name
                raise
            except Mismatch as error:
                run.reject(field, item, error.wanted, name)
            except (ValueError, OverflowError):  # an int out of range
                assert field.scalar is not None
                run.reject(field, item, field.scalar.wanted, name)

    def read_nested(
        self, message: Message, value: Any, depth: int, run: _Run, name: str, index: object = None
    ) -> None:
        """`read`, of a message that is the value of a field, or an item of it."""
        first = len(run.skipped)
        try:
            self.read(message, value, depth, run)
        except ConversionError as error:
            step = _step(name, index)
            error.path = join(step, error.path)
            run.add_step(step, first)
            raise
        if len(run.skipped) != first:
            run.add_step(_step(name, index), first)


_PLANS = schema.PlanCache(ReadPlan)


def _later(descriptor: AnyDescriptor, options: JsonOptions) -> Callable[[], ReadPlan]:
    """Gets a plan, which is made when it is first needed: types may be recursive."""
    plan: ReadPlan | None = None

    def plan_of() -> ReadPlan:
        nonlocal plan
        if plan is None:
            plan = _PLANS.plan_for(descriptor, options)
        return plan

    return plan_of


def _step(name: str, index: object) -> str:
    """A field, or an item of it: at an index, or at a key, which may be long."""
    if index is None:
        return name
    return f"{name}[{shown(repr(index))}]"


def _row_for(field: AnyField, options: JsonOptions) -> _Row:
    known = _Field(field, options)
    key = decode_name(field.name)
    scalar = known.scalar
    if scalar is None or schema.is_repeated(field) or field.is_extension:
        fill = _fill_for(field, known, options)
        return _Row(key, None, field.name, None, fill, known.is_required, known)
    exact, convert = scalar.exact, scalar.convert
    return _Row(key, exact, field.name, convert, None, known.is_required, known)


def _fill_for(field: AnyField, known: _Field, options: JsonOptions) -> Fill:
    get = _getter(field)
    if known.scalar is not None:
        if schema.is_repeated(field):
            return _fill_scalars(get, known, known.scalar)
        return _fill_extension(field, known, known.scalar)
    nested = field.message_type
    if schema.is_real_map(field):
        return _fill_map(field, known, options)
    if not schema.is_repeated(field):
        return _fill_message(get, known, nested, options)
    fill = _fill_messages(get, known, nested, options)
    if schema.has_string_keys(field):
        return _fill_entries(get, known, nested, options, fill)
    return fill


Get: TypeAlias = Callable[[Any], Any]


def _getter(field: AnyField) -> Get:
    """Gets the value of a field that is not scalar."""
    if field.is_extension:
        return lambda message: message.Extensions[field]
    name = field.name
    return lambda message: getattr(message, name)


def _fill_extension(field: AnyField, known: _Field, scalar: Scalar) -> Fill:
    convert = scalar.convert

    def fill(message: Any, value: Any, depth: int, run: _Run) -> None:
        try:
            message.Extensions[field] = convert(value)
        except ConversionError as error:
            error.path = known.name
            raise

    return fill


def _items_of(value: Any, known: _Field) -> list[Any]:
    if not isinstance(value, list):
        text = f"Invalid value for repeated field: {known.full_name}"
        raise InvalidFieldError(text, known.name)
    return value


def _fill_scalars(get: Get, known: _Field, scalar: Scalar) -> Fill:
    exact, convert = scalar.exact, scalar.convert

    def convert_all(items: list[Any], run: _Run) -> list[Any]:
        values: list[Any] = []
        try:
            for item in items:
                values.append(convert(item))
        except Mismatch as error:
            step = _step(known.name, len(values))
            run.reject(known, items[len(values)], error.wanted, step)
        except ConversionError as error:
            error.path = _step(known.name, len(values))
            raise
        return values

    def fill(message: Any, value: Any, depth: int, run: _Run) -> None:
        items = _items_of(value, known)
        values = get(message)
        if exact is not None and set(map(type, items)) <= {exact}:
            try:
                values.extend(items)
                return
            except (ValueError, OverflowError):
                pass  # an int out of range, which convert_all finds
        values.extend(convert_all(items, run))

    return fill


def _fill_message(get: Get, known: _Field, nested: AnyDescriptor, options: JsonOptions) -> Fill:
    name, plan_of = known.name, _later(nested, options)

    def fill(message: Any, value: Any, depth: int, run: _Run) -> None:
        part = get(message)
        part.SetInParent()
        plan_of().read_nested(part, value, depth + 1, run, name)

    return fill


def _fill_messages(get: Get, known: _Field, nested: AnyDescriptor, options: JsonOptions) -> Fill:
    name, plan_of = known.name, _later(nested, options)

    def fill(message: Any, value: Any, depth: int, run: _Run) -> None:
        add = get(message).add
        read = plan_of().read_nested
        for index, item in enumerate(_items_of(value, known)):
            if not isinstance(item, dict):
                run.reject(known, item, "message", _step(name, index))
            read(add(), item, depth + 1, run, name, index)

    return fill


def _fill_entries(
    get: Get, known: _Field, nested: AnyDescriptor, options: JsonOptions, fill_items: Fill
) -> Fill:
    """For messages with a key and a value, as an object, or as an array of them."""
    plan_of = _later(nested, options)

    def fill(message: Any, value: Any, depth: int, run: _Run) -> None:
        if not isinstance(value, dict):
            fill_items(message, value, depth, run)
            return
        add = get(message).add
        read = plan_of().read_nested
        for key, item in value.items():
            entry = {ENTRY_KEY: key, ENTRY_VALUE: item}
            read(add(), entry, depth + 1, run, known.name, key)

    return fill


def _fill_map(field: AnyField, known: _Field, options: JsonOptions) -> Fill:
    """For map<...>: an object if the keys are text, or an array of {"key": ..., "value": ...}."""
    get = _getter(field)
    entry = field.message_type.fields_by_name
    keys, values = _Field(entry[ENTRY_KEY], options), _Field(entry[ENTRY_VALUE], options)
    nested = entry[ENTRY_VALUE].message_type
    plan_of = _later(nested, options)
    default_key, default = entry[ENTRY_KEY].default_value, entry[ENTRY_VALUE].default_value
    takes_object = schema.has_string_keys(field)

    def convert(part: _Field, item: Any, otherwise: Any, run: _Run, index: object) -> Any:
        assert part.scalar is not None
        if item is None:
            return otherwise
        try:
            return part.scalar.convert(item)
        except Mismatch as error:
            run.reject(part, item, error.wanted, _step(known.name, index))
            return otherwise
        except ConversionError as error:
            error.path = _step(known.name, index)
            raise

    def put(container: Any, key: Any, item: Any, depth: int, run: _Run) -> None:
        if nested is None:
            container[key] = convert(values, item, default, run, key)
            return
        if key in container:
            del container[key]
        part = container[key]
        if item is not None:
            plan_of().read_nested(part, item, depth + 2, run, known.name, key)

    def fill(message: Any, value: Any, depth: int, run: _Run) -> None:
        container = get(message)
        if takes_object and isinstance(value, dict):
            for key, item in value.items():
                put(container, key, item, depth, run)
            return
        for index, item in enumerate(_items_of(value, known)):
            if not isinstance(item, dict):
                run.reject(known, item, "message", _step(known.name, index))
            key = convert(keys, item.get(ENTRY_KEY), default_key, run, index)
            put(container, key, item.get(ENTRY_VALUE), depth, run)

    return fill
