//! Many executions, much input, much output: what is bounded stays so.

use std::time::Duration;

use shared::Stream;
use stage_06_advanced::{ExecutionEvent, ExecutionExit, InputError, SandboxCommand, StartError};

use super::{Inside, Kernel, TEST_TIMEOUT, finish, sh};

/// Executions that read nothing and write without end, and executions whose output is not read.
async fn one_that_is_not_read_blocks_no_other(kernel: Kernel) {
    let inside = Inside::on(kernel).await;
    let mut stuck = Vec::new();
    for _ in 0..8 {
        let execution = inside.start(&sh("yes >&2 & yes & sleep 4567")).await;
        let mut input = execution.input();
        // As much as is taken from the host and not by the program.
        let write = async { input.write(&vec![b'x'; 1 << 20]).await };
        tokio::time::timeout(Duration::from_millis(20), write).await.unwrap_err();
        stuck.push(execution);
    }
    for _ in 0..10 {
        assert_eq!(
            inside.run_with(&SandboxCommand::new(["cat"]), b"through").await.text(),
            "through"
        );
    }
    // What was not read is still there, and bounded.
    let mut one = stuck.pop().unwrap();
    let mut seen = 0;
    while seen < 1 << 20 {
        if let ExecutionEvent::Output { bytes, .. } = one.next().await.unwrap().unwrap() {
            assert!(bytes.len() <= 128 << 10, "more than a window");
            seen += bytes.len();
        }
    }
    one.kill();
    while one.next().await.unwrap().is_some() {}
}

async fn sixty_four_executions_run_at_one_moment(kernel: Kernel) {
    let inside = Inside::on(kernel).await;
    let mut running = Vec::new();
    for number in 0..64 {
        let execution = inside.start(&sh(&format!("read line; echo {number} $line"))).await;
        running.push(execution);
    }
    assert_eq!(inside.channel.running(), 64);
    for execution in running.iter().rev() {
        let mut input = execution.input();
        input.write(b"line\n").await.unwrap();
    }
    for (number, mut execution) in running.into_iter().enumerate() {
        assert_eq!(finish(&mut execution).await.text(), format!("{number} line\n"));
    }
    assert_eq!(inside.channel.running(), 0);
    if kernel == Kernel::Host {
        let mut waiting = Vec::new();
        for _ in 0..128 {
            waiting.push(inside.start(&sh("read line")).await);
        }
        let refused = inside.channel.start(&sh("true")).await.unwrap_err();
        assert!(matches!(refused, StartError::TooMany { max: 128 }), "{refused}");
        drop(waiting.pop());
        while inside.channel.running() == 128 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(inside.sh("echo on").await.text(), "on\n");
    }
}

async fn much_input_much_output_and_a_long_command(kernel: Kernel) {
    let inside = Inside::on(kernel).await;
    let input = vec![b'i'; 50 << 20];
    let done = inside.run_with(&SandboxCommand::new(["wc", "-c"]), &input).await;
    assert_eq!(done.text().trim(), input.len().to_string());
    let done = inside.sh("head -c 10485760 /dev/zero; head -c 10485760 /dev/zero >&2").await;
    assert_eq!((done.stdout.len(), done.stderr.len()), (10 << 20, 10 << 20));
    let mut words = vec![b"printf".to_vec(), b"%s".to_vec()];
    words.extend((0..16).map(|number| vec![b'a' + number; 64 << 10]));
    let done = inside.run(&SandboxCommand::new(words)).await;
    assert_eq!((done.stdout.len(), done.stdout[(1 << 20) - 1]), (1 << 20, b'a' + 15));
    // One that reads slowly: what waits for it is a window, and no more of it stays in memory.
    let slow = SandboxCommand::new(["dd", "bs=1000", "of=/dev/null", "status=none"]);
    assert_eq!(inside.run_with(&slow, &input[..8 << 20]).await.code(), 0);
    let (_, _, memory) = use_of_process_one(&inside).await;
    assert!(memory < 12 << 10, "{memory} KiB");
    // Its own output is much longer than what it reads at once.
    let cat = inside.run_with(&SandboxCommand::new(["cat"]), &input[..4 << 20]).await;
    assert_eq!(cat.stdout.len(), 4 << 20);
}

/// A program that does not want its input: what is sent goes nowhere, and nothing waits.
async fn input_that_is_not_wanted_is_discarded(kernel: Kernel) {
    let inside = Inside::on(kernel).await;
    let mut execution = inside.start(&sh("exec <&-; echo closed; sleep 0.2")).await;
    let mut input = execution.input();
    let (mut taken, chunk) = (0, vec![b'x'; 100_000]);
    let end = loop {
        match input.write_some(&chunk).await {
            Ok(length) => taken += length,
            Err(error) => break error,
        }
    };
    assert!(matches!(end, InputError::Ended), "{end}");
    assert!(taken > 1 << 20, "{taken}");
    assert_eq!(finish(&mut execution).await.text(), "closed\n");
    input.close();
    assert!(matches!(input.write(b"x").await.unwrap_err(), InputError::Closed));
}

/// What was printed before a kill has arrived, which is what a time-out shows.
async fn output_before_a_kill_is_there(kernel: Kernel) {
    let inside = Inside::on(kernel).await;
    let mut execution = inside.start(&sh("printf before; printf err >&2; sleep 4567")).await;
    let mut seen = [0, 0];
    while seen != [6, 3] {
        if let ExecutionEvent::Output { stream, bytes } = execution.next().await.unwrap().unwrap() {
            seen[usize::from(stream == Stream::Stderr)] += bytes.len();
        }
    }
    execution.kill();
    assert_eq!(finish(&mut execution).await.exit, Some(ExecutionExit::Signal(9)));
}

/// Descriptors, threads, children and memory of process 1.
async fn use_of_process_one(inside: &Inside) -> (usize, usize, u64) {
    let script = "ls /proc/1/fd | wc -l; ls /proc | grep -c '^[0-9]'; \
        grep VmRSS /proc/1/status | tr -cd 0-9; echo";
    let done = inside.run(&sh(script).user(Some("0".to_owned()))).await;
    let mut numbers = done.text().lines().map(|line| line.trim().parse::<u64>().unwrap());
    let mut next = || numbers.next().unwrap();
    (usize::try_from(next()).unwrap(), usize::try_from(next()).unwrap(), next())
}

async fn executions_leave_nothing(kernel: Kernel) {
    let inside = Inside::on(kernel).await;
    let run = async |count: usize| {
        for _ in 0..count {
            let execution = &mut inside.start(&SandboxCommand::new(["true"])).await;
            assert_eq!(finish(execution).await.code(), 0);
        }
    };
    run(50).await;
    let before = use_of_process_one(&inside).await;
    let started = std::time::Instant::now();
    // gVisor starts processes slowly on a busy machine.
    run(if kernel == Kernel::Host { 950 } else { 150 }).await;
    let mut after = use_of_process_one(&inside).await;
    // A few shims wait for executions, as many as a busy machine has made necessary.
    let is_more = |after: usize, before: usize| after > before + 8;
    while is_more(after.1, before.1) && started.elapsed() < TEST_TIMEOUT {
        after = use_of_process_one(&inside).await;
    }
    let has_grown = is_more(after.0, before.0) || is_more(after.1, before.1);
    assert!(!has_grown, "descriptors and processes: {before:?}, {after:?}");
    assert!(after.2 <= before.2 + 512, "memory in KiB: {before:?}, {after:?}");
}

super::on_each_kernel!(
    one_that_is_not_read_blocks_no_other,
    sixty_four_executions_run_at_one_moment,
    much_input_much_output_and_a_long_command,
    input_that_is_not_wanted_is_discarded,
    output_before_a_kill_is_there,
    executions_leave_nothing,
);
