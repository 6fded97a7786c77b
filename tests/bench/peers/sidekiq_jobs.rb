# sidekiq_jobs.rb - the jobs, loaded by `sidekiq -r` and by sidekiq_load.rb.  What they note is what tests/bench/scripts/lib/notes.lua does.
require "sidekiq"

Sidekiq.logger.level = Logger::WARN
# Debian's redis-rb is newer than its Sidekiq and would print a warning for each job, which costs more than the job.
Redis.silence_deprecations = true

module Notes
  def self.add(name, value)
    @file ||= File.open("#{ENV.fetch("SKEIN_BENCH_DIR")}/notes", "a").tap { |file| file.sync = true }
    @file.write(format("%s\t%.17g\n", name, value))
  end
end

class NoopJob
  include Sidekiq::Worker
  def perform(_number, _padding); end
end

class MarkJob
  include Sidekiq::Worker
  def perform(asked) = Notes.add("mark", Time.now.to_f - asked)
end

class LateJob
  include Sidekiq::Worker
  def perform(due) = Notes.add("late", Time.now.to_f - due)
end
