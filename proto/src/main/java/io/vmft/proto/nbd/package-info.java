/**
 * The Network Block Device protocol: messages, and Netty handlers that turn them into bytes and back, for servers and clients.
 *
 * <p>Decoders bound everything they hold. A peer's mistake that leaves the stream readable arrives as a message
 * ({@link io.vmft.proto.nbd.NbdOption.Malformed}, {@link io.vmft.proto.nbd.NbdRequest.Refused}) to be answered; one after
 * which the stream means nothing is an {@link io.vmft.proto.nbd.NbdProtocolException}, after which the connection must be closed.
 *
 * @see <a href="https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md">The NBD protocol</a>
 */
@org.jspecify.annotations.NullMarked
package io.vmft.proto.nbd;
