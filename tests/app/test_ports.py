"""The ports hand out what they promise."""

from waypost.app.ports import PooledRandomness


def test_a_pool_never_gives_the_same_bytes_twice():
    pool = PooledRandomness(64)
    pieces = [pool.token_bytes(10) for _ in range(1_000)]
    assert {len(piece) for piece in pieces} == {10}
    assert len(set(pieces)) == len(pieces)
    assert len(pool.token_bytes(100)) == 100
