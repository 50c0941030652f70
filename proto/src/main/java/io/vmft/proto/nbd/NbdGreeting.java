package io.vmft.proto.nbd;

/** A server's first words: whether it understands options with replies, and whether it can leave out the zeroes. */
public record NbdGreeting(boolean fixedNewstyle, boolean noZeroes) {}
