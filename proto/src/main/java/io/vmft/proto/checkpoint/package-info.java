/**
 * The frames in which a primary sends checkpoints to its backup and the backup answers, over one TCP connection.
 *
 * <pre>
 *  0        4      5         8                 16           20          24
 * +--------+------+---------+-----------------+------------+-----------+---------------+
 * | "VMFT" | type | 0 0 0   | epoch           | length     | CRC-32C   | length bytes  |
 * +--------+------+---------+-----------------+------------+-----------+---------------+
 * </pre>
 *
 * Numbers are big-endian. The CRC covers the first 20 header bytes and the payload. Page frames carry
 *
 * <pre>
 *  0            4    8                      8 + 8n
 * +------------+----+----------------------+-------------------------+
 * | n          | 0  | n page indexes (LE)  | n pages of 4096 bytes   |
 * +------------+----+----------------------+-------------------------+
 * </pre>
 *
 * where indexes and pages stand exactly as libvmft laid them out in its staging slot, so that they go out without a copy.
 * Called by both engines; knows neither epochs' fate nor QEMU.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.proto.checkpoint;
