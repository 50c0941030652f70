package io.vmft.blk.server;

import io.vmft.blk.nbd.ListenAddress;
import io.vmft.blk.nbd.NbdLimits;
import io.vmft.blk.tls.TlsSettings;
import io.vmft.config.ConfigException;
import io.vmft.config.Quantity;
import io.vmft.config.Section;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;

/**
 * A block server's settings as an operator writes them; {@code docs/blk-server.yaml} shows all. Relative paths are meant from the file's
 * own folder.
 */
final class ConfigFile {
    private static final Set<String> KEYS =
            Set.of("data", "listen", "control", "tls", "journal", "snapshot_limit", "limits", "volumes");
    private static final Set<String> TLS_KEYS = Set.of("certificates", "required", "verify_peer");
    private static final Set<String> JOURNAL_KEYS = Set.of("limit", "segment", "apply_interval", "writer_patience");
    private static final Set<String> LIMIT_KEYS = Set.of(
            "connections",
            "handshake",
            "options",
            "in_flight_requests",
            "in_flight_bytes",
            "memory",
            "extents",
            "io_threads",
            "flush_threads");
    private static final Set<String> VOLUME_KEYS =
            Set.of("image", "create", "readonly", "exclusive", "description", "allow");

    private ConfigFile() {}

    /**
     * Puts what the file says into {@code settings}.
     *
     * @return where each volume is declared, as {@code FILE:LINE}, by name
     * @throws ConfigException in one line, with the file's name and the line in it
     */
    static Map<String, String> read(Path file, BlkServerConfig.Builder settings) throws ConfigException {
        Section top = Section.read(file, Map.of(), KEYS);
        top.optional("data", top::path).ifPresent(settings::data);
        List<ListenAddress> listen = top.list("listen", text -> listenAddress(top, text));
        settings.listen(listen);
        top.optional("control", ConfigFile::controlAddress).ifPresent(settings::control);
        Optional<Section> tls = top.section("tls", TLS_KEYS);
        if (tls.isPresent()) {
            settings.tls(tls(tls.get()));
        }
        Optional<Section> journal = top.section("journal", JOURNAL_KEYS);
        if (journal.isPresent()) {
            settings.journal(journal(journal.get()));
        }
        settings.snapshotLimit(
                top.get("snapshot_limit", BlkServerConfig.DEFAULT_SNAPSHOT_LIMIT_BYTES, Quantity::parseSize));
        Optional<Section> limits = top.section("limits", LIMIT_KEYS);
        if (limits.isPresent()) {
            settings.nbdLimits(limits(limits.get()));
        }
        List<VolumeSpec> volumes = new ArrayList<>();
        Map<String, String> places = new LinkedHashMap<>();
        for (Map.Entry<String, Section> entry :
                top.named("volumes", VOLUME_KEYS).entrySet()) {
            volumes.add(volume(entry.getKey(), entry.getValue()));
            places.put(entry.getKey(), entry.getValue().place());
        }
        settings.volumes(volumes);
        return places;
    }

    /**
     * Reads {@code HOST:PORT} or {@code :PORT}.
     *
     * @throws IllegalArgumentException if it is none, or no such host is known
     */
    static InetSocketAddress controlAddress(String text) {
        if (!(ListenAddress.parse(text) instanceof ListenAddress.Tcp(String host, int port))) {
            throw new IllegalArgumentException(text + " is not HOST:PORT");
        }
        InetSocketAddress address = host.isEmpty() ? new InetSocketAddress(port) : new InetSocketAddress(host, port);
        if (address.isUnresolved()) {
            throw new IllegalArgumentException(text + ": the host is not known");
        }
        return address;
    }

    private static ListenAddress listenAddress(Section section, String text) {
        return switch (ListenAddress.parse(text)) {
            case ListenAddress.Unix(Path path, int mode) -> new ListenAddress.Unix(section.path(path.toString()), mode);
            case ListenAddress.Tcp tcp -> tcp;
        };
    }

    private static TlsSettings tls(Section section) throws ConfigException {
        Path certificates = section.required("certificates", section::path);
        boolean required = section.get("required", true, Quantity::parseFlag);
        boolean verifyPeer = section.get("verify_peer", false, Quantity::parseFlag);
        return section.build(() -> new TlsSettings(certificates, required, verifyPeer));
    }

    private static JournalSettings journal(Section section) throws ConfigException {
        JournalSettings fallback = JournalSettings.DEFAULT;
        long limitBytes = section.get("limit", fallback.limitBytes(), Quantity::parseSize);
        long segmentBytes = section.get("segment", fallback.segmentBytes(), Quantity::parseSize);
        var applyInterval = section.get("apply_interval", fallback.applyInterval(), Quantity::parseDuration);
        var writerPatience = section.get("writer_patience", fallback.writerPatience(), Quantity::parseDuration);
        return section.build(() -> new JournalSettings(limitBytes, segmentBytes, applyInterval, writerPatience));
    }

    private static NbdLimits limits(Section section) throws ConfigException {
        NbdLimits fallback = NbdLimits.DEFAULT;
        int connections = section.get("connections", fallback.connections(), Quantity::parseCount);
        var handshake = section.get("handshake", fallback.handshake(), Quantity::parseDuration);
        int options = section.get("options", fallback.options(), Quantity::parseCount);
        int inFlightRequests = section.get("in_flight_requests", fallback.inFlightRequests(), Quantity::parseCount);
        int inFlightBytes = section.get("in_flight_bytes", fallback.inFlightBytes(), ConfigFile::bytes);
        long memory = section.get("memory", fallback.memoryBytes(), Quantity::parseSize);
        int extents = section.get("extents", fallback.extents(), Quantity::parseCount);
        int ioThreads = section.get("io_threads", fallback.ioThreads(), Quantity::parseCount);
        int flushThreads = section.get("flush_threads", fallback.flushThreads(), Quantity::parseCount);
        return section.build(() -> new NbdLimits(
                connections,
                handshake,
                options,
                inFlightRequests,
                inFlightBytes,
                extents,
                ioThreads,
                flushThreads,
                memory));
    }

    private static int bytes(String text) {
        long bytes = Quantity.parseSize(text);
        if (bytes > Integer.MAX_VALUE) {
            throw new IllegalArgumentException("\"" + text + "\" is more than 2G");
        }
        return (int) bytes;
    }

    private static VolumeSpec volume(String name, Section section) throws ConfigException {
        Path image = section.required("image", section::path);
        long createBytes = section.get("create", 0L, VolumeSpec::size);
        boolean readOnly = section.get("readonly", false, Quantity::parseFlag);
        boolean exclusive = section.get("exclusive", false, Quantity::parseFlag);
        String description = section.text("description").orElse("");
        Set<String> allow = new TreeSet<>();
        for (String client : section.list("allow", Function.identity())) {
            if (!allow.add(client)) {
                throw section.error("allow", client + " is named twice");
            }
        }
        if (section.has("allow") && allow.isEmpty()) {
            throw section.error("allow", "names nobody; name a client, or leave it out to admit everybody");
        }
        return section.build(() -> new VolumeSpec(name, image, createBytes, readOnly, exclusive, description, allow));
    }
}
