//! The files that programs leave in a container of gVisor.

use harness::{TEST_LIMITS, left_files, run};
use shared::{Engine as _, Limits, Outcome, Verdict};
use stage_04_docker::DockerArgs;
use stage_05_gvisor::GVisorEngine;

async fn taking_engine() -> GVisorEngine {
    let args = DockerArgs { keeps_output_files: true, ..DockerArgs::default() };
    GVisorEngine::start(&args).await.expect("run infrastructure/setup/setup.sh first")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_leaves_is_taken() {
    let engine = taking_engine().await;
    left_files::takes_regular_files_alone(&engine).await;
    left_files::leaves_out_what_is_too_much(&engine).await;
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_that_gvisor_survives_leaves_its_files() {
    let engine = taking_engine().await;
    left_files::keeps_files_at_every_end(&engine).await;
    // This ends gVisor's kernel, which has the files.
    let forks = "import os, time\nwhile os.fork(): pass\ntime.sleep(5)";
    let few = Limits { pids: 8, ..TEST_LIMITS };
    left_files::says_that_files_are_lost(&engine, forks, few).await;
    // This does so as well, unless its use is seen before.
    let memory = "open('/output/x', 'w').write('x')\nbytearray(2 << 30)";
    let little = Limits { memory_bytes: 64 << 20, pids: 4, ..TEST_LIMITS };
    let Verdict { outcome, artifacts, evidence, .. } = run(&engine, memory, little).await.verdict;
    assert_eq!(outcome, Outcome::MemoryExceeded, "{evidence:?}");
    let is_lost = evidence.counters.get("output.skipped").is_some_and(|skipped| skipped == "all");
    assert_eq!(artifacts.is_empty(), is_lost, "{evidence:?}");
    engine.close().await;
}
