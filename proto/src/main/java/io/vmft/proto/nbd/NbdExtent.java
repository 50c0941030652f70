package io.vmft.proto.nbd;

/**
 * A stretch of an export and what a metadata context says about it.
 *
 * @param lengthBytes from 1
 * @param flags of the context; 32 bits unless {@link NbdHeaders#EXTENDED} are used
 */
public record NbdExtent(long lengthBytes, long flags) {}
