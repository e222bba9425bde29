"""The bytes of RTMP 1.0, without any I/O: handshake, chunks, messages, AMF0, and FLV files.

`HandshakeServer` and `HandshakeClient` come first, then `ChunkReader` and `ChunkWriter` turn bytes
into RtmpMessages and back. `command` and `amf0` are for the contents of commands and metadata,
`media` for those of audio and video. Live video is sent so: one side publishes, others play.
"""

from pybrpc.protocols.rtmp.amf0 import UNDEFINED, AmfDate, AmfError, EcmaArray, TypedObject
from pybrpc.protocols.rtmp.chunk_reader import ChunkReader
from pybrpc.protocols.rtmp.chunk_writer import ChunkWriter
from pybrpc.protocols.rtmp.command import Command, parse_command, parse_data
from pybrpc.protocols.rtmp.flv import FlvError, FlvReader, FlvWriter
from pybrpc.protocols.rtmp.handshake import HandshakeClient, HandshakeServer
from pybrpc.protocols.rtmp.media import AudioFacts, VideoFacts
from pybrpc.protocols.rtmp.message import MessageType, RtmpMessage, UserControl, UserEvent

__all__ = [
    "UNDEFINED",
    "AmfDate",
    "AmfError",
    "AudioFacts",
    "ChunkReader",
    "ChunkWriter",
    "Command",
    "EcmaArray",
    "FlvError",
    "FlvReader",
    "FlvWriter",
    "HandshakeClient",
    "HandshakeServer",
    "MessageType",
    "RtmpMessage",
    "TypedObject",
    "UserControl",
    "UserEvent",
    "VideoFacts",
    "parse_command",
    "parse_data",
]
