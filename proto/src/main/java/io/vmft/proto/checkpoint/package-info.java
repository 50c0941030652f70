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
 *  0            4            8                      8 + 8n
 * +------------+------------+----------------------+-------------------------+
 * | n          | m          | n page indexes (LE)  | m pages of 4096 bytes   |
 * +------------+------------+----------------------+-------------------------+
 * </pre>
 *
 * where indexes and pages stand exactly as libvmft laid them out in its staging slot, so that they go out without a copy. Pages are
 * numbered through guest RAM and then all other memory the guest can see, in the order that PREPARE lists. Bit 63 of an index says
 * that the page is all zeroes; it is then none of the m.
 * Called by both engines; knows neither epochs' fate nor QEMU.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.proto.checkpoint;
