package io.vmft.blk.journal;

/**
 * What is remembered of a volume.
 *
 * @param lane its number in the journal, never given to another
 * @param sizeBytes of the image when last served
 * @param image absolute path of the image when last served
 */
public record VolumeRegistration(String name, int lane, long sizeBytes, String image) {}
