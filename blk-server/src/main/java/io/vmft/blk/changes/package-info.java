/**
 * Which blocks of a volume changed since a point that somebody remembers. Volumes call it before they change an image; it knows
 * blocks and points, not what changes them.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.blk.changes;
