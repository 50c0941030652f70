package io.vmft.proto.nbd;

/**
 * A client's answer to the greeting.
 *
 * @param fixedNewstyle whether it understands option replies; without it only {@code OPT_EXPORT_NAME} may follow
 * @param noZeroes whether the 124 zero bytes after {@code OPT_EXPORT_NAME}'s answer are left out
 */
public record NbdClientFlags(boolean fixedNewstyle, boolean noZeroes) {}
