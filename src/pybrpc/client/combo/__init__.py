"""Combined channels: channels over other channels, as bRPC's combo channels.

`ParallelChannel` sends a call to all of its channels, `SelectiveChannel` to one of them. A
`PartitionChannel` makes the channels of a ParallelChannel from a naming service, and a
`DynamicPartitionChannel` has several of those under a SelectiveChannel.

`combo_call` has the parts that the calls of all of them share, `call_form` what differs between
threads and asyncio.
"""
