# sidekiq_load.rb seed N | drained N | trips | late - what is asked of Sidekiq while it is measured; as tests/bench/scripts/lib/load.lua.
require_relative "sidekiq_jobs"
require "sidekiq/api"

PADDING = "x" * 136
TRIPS, TRIP_PAUSE = 200, 0.01
LATE, LATE_PER_S, LATE_AHEAD = 600, 200, 0.5

def clock = Process.clock_gettime(Process::CLOCK_MONOTONIC)

# Waits until a condition holds; the time of that.
def reached(timeout_s = 300)
  deadline = clock + timeout_s
  until yield
    abort "sidekiq_load: waited #{timeout_s} s in vain" if clock > deadline
    sleep 0.002
  end
  clock
end

case ARGV[0]
when "seed"
  (1..Integer(ARGV[1])).each_slice(1000) { |slice| Sidekiq::Client.push_bulk("class" => NoopJob, "args" => slice.map { |i| [i, PADDING] }) }
when "drained" # prints the seconds from the first job taken to the last
  n = Integer(ARGV[1])
  queue = Sidekiq::Queue.new
  start = reached { queue.size < n }
  puts reached { queue.size.zero? } - start
when "trips"
  TRIPS.times do
    MarkJob.perform_async(Time.now.to_f)
    sleep TRIP_PAUSE
  end
when "late"
  first = Time.now.to_f + LATE_AHEAD
  dues = (1..LATE).map { |i| first + i.fdiv(LATE_PER_S) }
  Sidekiq::Client.push_bulk("class" => LateJob, "args" => dues.map { |due| [due] }, "at" => dues)
end
