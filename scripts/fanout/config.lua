-- Settings of this folder; flags and environment variables come before them.
return { concurrency = 60 }
