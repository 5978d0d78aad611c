"""Codecs: how values become bytes that other processes can read, and come back unchanged."""

from cenote.codecs.codec import Codec
from cenote.codecs.compressing import CompressingCodec
from cenote.codecs.msgpack import MsgpackCodec
from cenote.codecs.pickled import PickleCodec

__all__ = ["Codec", "CompressingCodec", "MsgpackCodec", "PickleCodec"]
