//! What is kept, and what a reader gets.

use super::*;

fn filled(keep: Keep, max_bytes: u64, pieces: &[usize]) -> (tempfile::TempDir, Spool, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let memory = Arc::default();
    let spool = Spool::new(keep, max_bytes, directory.path().join("stdout"), memory);
    let mut all = Vec::new();
    for length in pieces {
        let piece: Vec<u8> = (0..=250).cycle().skip(all.len() % 251).take(*length).collect();
        spool.append(&piece).unwrap();
        all.extend(piece);
    }
    assert_eq!(spool.total(), all.len() as u64);
    (directory, spool, all)
}

#[test]
fn the_first_or_the_last_bytes_are_kept() {
    for pieces in [&[0, 1, 5][..], &[3000; 9], &[20_000, 1, 50_000, 7], &[100; 300]] {
        for max_bytes in [1, 100, 8192, 8193, 30_000, 1 << 20] {
            let (_guard, spool, all) = filled(Keep::Head, max_bytes, pieces);
            let kept = all.len().min(index(max_bytes));
            let piece = spool.read(0, u64::MAX).unwrap();
            assert_eq!((piece.start, &piece.bytes[..]), (0, &all[..kept]));
            let (_guard, spool, all) = filled(Keep::Tail, max_bytes, pieces);
            let piece = spool.read(0, u64::MAX).unwrap();
            assert_eq!(piece.start, (all.len() - kept) as u64);
            assert!(piece.bytes == all[all.len() - kept..], "{pieces:?} {max_bytes}");
            assert_eq!(piece.next, all.len() as u64);
            assert_eq!(spool.stored(), kept as u64);
        }
    }
}

#[test]
fn memory_is_bounded_over_all_spools() {
    let (directory, memory) = (tempfile::tempdir().unwrap(), Arc::<SpoolMemory>::default());
    memory.0.store(MAX_ALL_MEMORY_BYTES - 10, Ordering::Relaxed);
    let new =
        |name: &str| Spool::new(Keep::Head, 100, directory.path().join(name), Arc::clone(&memory));
    let (first, second) = (new("first"), new("second"));
    first.append(b"0123456789").unwrap();
    second.append(b"0123456789").unwrap();
    assert_eq!(second.read(0, 100).unwrap().bytes, b"0123456789");
    let files = directory.path().read_dir().unwrap();
    assert_eq!(files.map(|file| file.unwrap().file_name()).collect::<Vec<_>>(), ["second"]);
    drop((first, second));
    assert_eq!(memory.0.load(Ordering::Relaxed), MAX_ALL_MEMORY_BYTES - 10);
}

#[test]
fn a_reader_goes_on_where_it_was() {
    let (_guard, spool, all) = filled(Keep::Head, 1 << 20, &[10_000; 5]);
    let (mut read, mut offset) = (Vec::new(), 0);
    while offset < spool.total() {
        let piece = spool.read(offset, 777).unwrap();
        assert_eq!(piece.start, offset);
        read.extend(piece.bytes);
        offset = piece.next;
    }
    assert!(read == all);
}

#[test]
fn a_reader_of_what_is_replaced_gets_nothing() {
    let (_guard, spool, _) = filled(Keep::Tail, 10_000, &[9_000]);
    spool.state().reserved += 100_000; // these are being written
    let piece = spool.read(0, 100).unwrap();
    assert_eq!((piece.start, &piece.bytes[..]), (9_000, &b""[..]));
}

#[test]
fn output_that_could_not_be_stored_is_counted() {
    for before in [10, 20_000] {
        let (directory, spool, _) = filled(Keep::Tail, 1 << 20, &[before]);
        let path = directory.path().join("stdout");
        std::fs::remove_file(&path).ok();
        std::fs::create_dir(&path).unwrap(); // nothing can be written there
        let error = spool.append(&vec![0; 20_000]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        spool.give_up(20_000);
        spool.append(b"more").unwrap();
        let piece = spool.read(0, 100).unwrap();
        assert_eq!((&piece.bytes[..], spool.stored()), (&b""[..], 0));
        assert_eq!(spool.total(), before as u64 + 20_004);
    }
}

#[test]
fn what_is_discarded_is_counted() {
    for length in [10, 100_000] {
        let (directory, spool, all) = filled(Keep::Tail, 1 << 20, &[length]);
        spool.discard();
        spool.append(b"more").unwrap();
        let piece = spool.read(0, 100).unwrap();
        assert_eq!(piece.bytes, b"");
        assert_eq!(spool.total(), all.len() as u64 + 4);
        assert_eq!(spool.stored(), 0);
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    }
}
