package io.vmft.bench.checkpoint;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;

/** The moments of one epoch as {@code ft-engine epochs} tells them, in nanoseconds. */
@JsonIgnoreProperties(ignoreUnknown = true)
record Epoch(
        @JsonProperty("epoch") long epoch,
        @JsonProperty("dirty_pages") long dirtyPages,
        @JsonProperty("precopied_pages") long preCopiedPages,
        @JsonProperty("begun") long begun,
        @JsonProperty("triggered") long triggered,
        @JsonProperty("stopped") long stopped,
        @JsonProperty("opened") long opened,
        @JsonProperty("closed") long closed,
        @JsonProperty("found") long found,
        @JsonProperty("copied") long copied,
        @JsonProperty("resumed") long resumed,
        @JsonProperty("sealed") long sealed,
        @JsonProperty("sent") long sent,
        @JsonProperty("completed") long completed,
        @JsonProperty("committed") long committed) {
    long pause() {
        return resumed - stopped;
    }
}
