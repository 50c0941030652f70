/**
 * The block server as a whole: its settings, its parts put together, its command line. Other modules' tests start one with
 * {@link io.vmft.blk.server.BlkServer}.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.blk.server;
