package io.vmft.engine.epoch;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.annotation.JsonUnwrapped;

/**
 * One epoch from when it was to end to the release of its output, in nanoseconds of {@link System#nanoTime}.
 *
 * @param sealedNanos the block server said that its line is drawn
 * @param sentNanos its last byte was given to the operating system for the backup
 * @param completedNanos the backup said that it holds all of it
 * @param committedNanos the block server said that it is durable
 * @param releasedNanos its output is on the network
 */
public record EpochTimes(
        @JsonUnwrapped PauseTimes pause,
        @JsonProperty("sealed") long sealedNanos,
        @JsonProperty("sent") long sentNanos,
        @JsonProperty("completed") long completedNanos,
        @JsonProperty("committed") long committedNanos,
        @JsonProperty("released") long releasedNanos) {}
