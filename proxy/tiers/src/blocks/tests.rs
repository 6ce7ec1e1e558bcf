use super::*;

/// Positions and sizes of blocks, at and around their borders.
#[test]
fn blocks_lie_where_the_layout_says() {
    let layout = |length| Layout { block_bytes: 10, length };
    for (length, count) in [(0, 0), (1, 1), (9, 1), (10, 1), (11, 2), (20, 2)] {
        assert_eq!(layout(length).count(), count, "{length}");
    }
    let layout = layout(25);
    assert_eq!([0, 9, 10, 24].map(|at| layout.position(at)), [(0, 0), (0, 9), (1, 0), (2, 4)]);
    assert_eq!([0, 1, 2, 3, u64::MAX].map(|index| layout.size(index)), [10, 10, 5, 0, 0]);
}

/// A block comes back, and no other: every flipped bit and every other length is refused.
#[test]
fn a_block_that_changed_is_refused() {
    let mut sealed = Vec::new();
    seal_into(&mut sealed, b"hello");
    assert_eq!(unseal(&sealed, 5), Ok(&b"hello"[..]));
    for bit in 0..8 * sealed.len() {
        let mut rotten = sealed.clone();
        rotten[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(unseal(&rotten, 5), Err(BlockError::Checksum), "bit {bit}");
    }
    for cut in 0..sealed.len() {
        let found = Err(BlockError::Size { found: cut, expected: 9 });
        assert_eq!(unseal(&sealed[..cut], 5), found);
    }
    assert_eq!(unseal(&sealed, 4), Err(BlockError::Size { found: 9, expected: 8 }));
}

/// Bytes are held until they are stored, and readable from the first held one on.
#[test]
fn bytes_are_held_until_they_are_stored() {
    let mut tail = Tail::new(4);
    tail.push(b"abcdef");
    assert_eq!(tail.full_block(), Some((0, &b"abcd"[..])));
    assert_eq!(tail.held(1, 2), Some(Bytes::from_static(b"bc")));
    tail.on_stored();
    assert_eq!((tail.full_block(), tail.length()), (None, 6));
    assert_eq!(tail.last_block(), Some((1, &b"ef"[..])));
    assert_eq!(tail.held(3, 9), None);
    assert_eq!(tail.held(4, 9), Some(Bytes::from_static(b"ef")));
    assert_eq!(tail.held(6, 9), Some(Bytes::new()));
    assert_eq!(tail.held(u64::MAX, 9), Some(Bytes::new()));
    assert_eq!(tail.stored().count(), 1);
}
