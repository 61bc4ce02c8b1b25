"""Where jobs run: in this process, or in a worker process that can be stopped and may die."""
