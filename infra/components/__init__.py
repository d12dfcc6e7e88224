"""The Pulumi components: one concern each, wired together by ``infra.program``.

A component takes a frozen dataclass and a name. Its children are given ``parent=self`` and whatever
they need for themselves, never the caller's options: a caller's parent or alias must not leak into them.
The provider (hence the region) comes down by inheritance.
"""
