// In place of the media child: dies of a segmentation fault once it has its job.
process.stdin.once("data", () => process.kill(process.pid, "SIGSEGV"))
