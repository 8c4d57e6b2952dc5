"""The engine: runners, the loop, the scheduler, and the executors that run jobs in processes and threads."""
