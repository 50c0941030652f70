package io.vmft.config;

import io.vmft.config.YamlNode.Mapping;
import io.vmft.config.YamlNode.Scalar;
import io.vmft.config.YamlNode.Sequence;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** One mapping of a file, read key by key; every complaint carries file, line and the key's full path. Immutable. */
public final class Section {
    private final Path file;
    private final String path;
    private final Mapping mapping;

    /**
     * Wraps a mapping.
     *
     * @param path prefix of its keys in messages, such as {@code nics[0].}
     * @throws ConfigException if it has a key that is not in {@code known}
     */
    private Section(Path file, String path, Mapping mapping, Set<String> known) throws ConfigException {
        this.file = file;
        this.path = path;
        this.mapping = mapping;
        for (Map.Entry<String, YamlNode> entry : mapping.entries().entrySet()) {
            if (!known.contains(entry.getKey())) {
                throw error(entry.getKey(), "unknown key; known here: " + String.join(", ", new TreeSet<>(known)));
            }
        }
    }

    /**
     * Reads a file.
     *
     * @param overrides values, by key of the file's outermost mapping, that win over what the file says
     * @param known the keys it may have
     */
    public static Section read(Path file, Map<String, String> overrides, Set<String> known) throws ConfigException {
        Mapping document = YamlNode.read(file);
        Map<String, YamlNode> entries = new LinkedHashMap<>(document.entries());
        overrides.forEach((key, value) -> entries.put(key, new Scalar(value, document.line())));
        return new Section(file, "", new Mapping(entries, document.line()), known);
    }

    /** Whether the file says anything about {@code key}. */
    public boolean has(String key) {
        return mapping.entries().containsKey(key);
    }

    public <T> T required(String key, Function<String, T> parser) throws ConfigException {
        Optional<T> value = optional(key, parser);
        if (value.isEmpty()) {
            throw error(key, "is missing");
        }
        return value.get();
    }

    public <T> T get(String key, T fallback, Function<String, T> parser) throws ConfigException {
        return optional(key, parser).orElse(fallback);
    }

    public <T> Optional<T> optional(String key, Function<String, T> parser) throws ConfigException {
        YamlNode node = mapping.entries().get(key);
        return node == null ? Optional.empty() : Optional.of(scalar(key, node, parser));
    }

    /** The text under {@code key}, which may be empty. */
    public Optional<String> text(String key) throws ConfigException {
        YamlNode node = mapping.entries().get(key);
        return switch (node) {
            case null -> Optional.empty();
            case Scalar(var text, var line) -> Optional.of(text);
            case YamlNode other -> throw error(key, other, "must be a single value");
        };
    }

    /** The values in the list under {@code key}; none if it is absent. */
    public <T> List<T> list(String key, Function<String, T> parser) throws ConfigException {
        List<T> values = new ArrayList<>();
        for (YamlNode item : items(key)) {
            values.add(scalar(key, item, parser));
        }
        return values;
    }

    /** The mappings in the list under {@code key}; none if it is absent. */
    public List<Section> sections(String key, Set<String> known) throws ConfigException {
        List<Section> sections = new ArrayList<>();
        for (YamlNode item : items(key)) {
            if (!(item instanceof Mapping entries)) {
                throw error(key, item, "must be a list of KEY: VALUE groups");
            }
            sections.add(new Section(file, path + key + "[" + sections.size() + "].", entries, known));
        }
        return sections;
    }

    /** The mappings under {@code key} by names that the file chooses, in its order; none if it is absent. */
    public Map<String, Section> named(String key, Set<String> known) throws ConfigException {
        Map<String, Section> sections = new LinkedHashMap<>();
        YamlNode node = mapping.entries().get(key);
        if (node == null || (node instanceof Scalar scalar && scalar.text().isEmpty())) {
            return sections;
        }
        if (!(node instanceof Mapping names)) {
            throw error(key, "must be a group of names, each with its own KEY: VALUE lines");
        }
        for (Map.Entry<String, YamlNode> entry : names.entries().entrySet()) {
            String full = key + "." + entry.getKey();
            if (!(entry.getValue() instanceof Mapping entries)) {
                throw error(full, entry.getValue(), "must be a group of KEY: VALUE lines");
            }
            sections.put(entry.getKey(), new Section(file, path + full + ".", entries, known));
        }
        return sections;
    }

    /** The mapping under {@code key}. */
    public Optional<Section> section(String key, Set<String> known) throws ConfigException {
        YamlNode node = mapping.entries().get(key);
        if (node == null) {
            return Optional.empty();
        }
        if (!(node instanceof Mapping entries)) {
            throw error(key, "must be a group of KEY: VALUE lines");
        }
        return Optional.of(new Section(file, path + key + ".", entries, known));
    }

    /** A path, meant from the file's own folder if it is relative. */
    public Path path(String text) {
        return file.toAbsolutePath().resolveSibling(Path.of(text)).normalize();
    }

    /** Runs a record's constructor and turns its complaint into one with file and line. */
    public <T> T build(Supplier<T> constructor) throws ConfigException {
        try {
            return constructor.get();
        } catch (InvalidValueException e) {
            throw error(e.key(), e.complaint());
        }
    }

    /** Where this section begins, as {@code FILE:LINE}. */
    public String place() {
        return file + ":" + mapping.line();
    }

    /** A complaint about a key of this section, with file and line. */
    public ConfigException error(String key, String message) {
        return error(key, mapping.entries().get(key), message);
    }

    private ConfigException error(String key, @Nullable YamlNode node, String message) {
        int line = node == null ? mapping.line() : node.line();
        return new ConfigException(file + ":" + line + ": " + path + key + ": " + message);
    }

    private List<YamlNode> items(String key) throws ConfigException {
        return switch (mapping.entries().get(key)) {
            case null -> List.of();
            case Sequence(var items, var line) -> items;
            case Scalar scalar when scalar.text().isEmpty() -> List.of();
            case YamlNode other -> throw error(key, other, "must be a list");
        };
    }

    private <T> T scalar(String key, YamlNode node, Function<String, T> parser) throws ConfigException {
        if (!(node instanceof Scalar(var text, var line))) {
            throw error(key, node, "must be a single value");
        }
        if (text.isEmpty()) {
            throw error(key, node, "has no value");
        }
        try {
            return parser.apply(text);
        } catch (IllegalArgumentException e) {
            throw error(key, node, String.valueOf(e.getMessage()));
        }
    }
}
