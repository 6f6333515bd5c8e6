//! That a sandbox was started ahead changes nothing of what a program finds in it.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use shared::TestableComponent as _;

use super::{close, engine, run};

#[tokio::test(flavor = "multi_thread")]
async fn each_has_its_own_seeds_and_numbers() {
    let engine = engine(4).await;
    for draws in [
        "hash('a')",
        "__import__('random').random()",
        "__import__('os').urandom(8).hex()",
        "__import__('uuid').uuid4().hex",
        "id(object())",
    ] {
        let mut drawn = BTreeSet::new();
        for _ in 0..3 {
            let ended = run(&engine, &format!("print({draws})")).await;
            assert_eq!(ended.verdict.evidence.counters["sandbox.warm"], true, "{ended:?}");
            drawn.insert(ended.stdout);
        }
        assert_eq!(drawn.len(), 3, "{draws}: {drawn:?}");
    }
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_are_the_present_however_long_it_waited() {
    let engine = engine(1).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let ended = run(&engine, "import time; print(time.time(), time.process_time())").await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let mut times = ended.stdout.split_whitespace().map(|time| time.parse::<f64>().unwrap());
    let (time, processor) = (times.next().unwrap(), times.next().unwrap());
    assert!((now - time).abs() < 1.0, "{now} outside, {time} inside");
    assert!(processor < 1.0, "{processor} s of processor time before the program began");
    // What the sandbox has used until then is not the program's.
    let used = ended.verdict.usage.unwrap();
    assert!(used.cpu_ms < Some(200) && used.wall_ms < 1000, "{used:?}");
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_passes_from_one_to_the_next() {
    let engine = engine(3).await;
    let leaves = "import os, sys\nfor scratch in '/tmp', '/dev/shm':\n    open(f'{scratch}/left', 'w')\n\
                  os.environ['LEFT'] = 'x'\nsys.path.append('left')\n\
                  open('/tmp/sitecustomize.py', 'w').write('print(\"left\")')\n\
                  if not os.fork():\n    import time; time.sleep(20)";
    let looks = "import os, sys\nseen = os.listdir('/tmp') + os.listdir('/dev/shm')\n\
                 others = [p for p in os.listdir('/proc') if p.isdigit()]\n\
                 print(sorted(seen), dict(os.environ), sys.path[0], 'left' in sys.path, sorted(others))";
    let first = run(&engine, looks).await;
    for _ in 0..4 {
        run(&engine, leaves).await;
        assert_eq!(run(&engine, looks).await.stdout, first.stdout);
    }
    assert!(first.stdout.starts_with("['main.py'] "), "{first:?}");
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn warm_or_cold_a_program_finds_the_same() {
    let (warm, cold) = (engine(1).await, engine(0).await);
    let looks = "import os, resource, sys\nprint(os.getuid(), os.getgid(), os.getgroups(), os.getcwd(), \
                 sys.argv, sys.flags, dict(os.environ), os.getpid(), os.getppid(), \
                 [resource.getrlimit(n) for n in (1, 4, 7)], sorted(os.listdir('/proc/self/fd')), \
                 sorted(sys.modules)[:20], open('/proc/self/mounts').read())";
    let (one, other) = (run(&warm, looks).await, run(&cold, looks).await);
    assert_eq!(one.verdict.evidence.counters["sandbox.warm"], true);
    assert_eq!(other.verdict.evidence.counters["sandbox.warm"], false);
    assert_eq!(one.stdout, other.stdout, "{one:?} {other:?}");
    assert!(one.stdout.starts_with("65534 65534 [] /tmp "), "{one:?}");
    assert!(cold.self_test().await.is_ok());
    close(warm).await;
    close(cold).await;
}
