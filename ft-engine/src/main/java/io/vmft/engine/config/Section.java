package io.vmft.engine.config;

import io.vmft.engine.config.YamlNode.Mapping;
import io.vmft.engine.config.YamlNode.Scalar;
import io.vmft.engine.config.YamlNode.Sequence;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** One mapping of the file, read key by key; every complaint carries file, line and the key's full path. */
final class Section {
    private final String file;
    private final String path;
    private final Mapping mapping;

    /**
     * Wraps a mapping.
     *
     * @param path prefix of its keys in messages, such as {@code nics[0].}
     * @throws ConfigException if it has a key that is not in {@code known}
     */
    Section(String file, String path, Mapping mapping, Set<String> known) throws ConfigException {
        this.file = file;
        this.path = path;
        this.mapping = mapping;
        for (Map.Entry<String, YamlNode> entry : mapping.entries().entrySet()) {
            if (!known.contains(entry.getKey())) {
                throw error(entry.getKey(), "unknown key; known here: " + String.join(", ", new TreeSet<>(known)));
            }
        }
    }

    boolean has(String key) {
        return mapping.entries().containsKey(key);
    }

    <T> T required(String key, Function<String, T> parser) throws ConfigException {
        Optional<T> value = optional(key, parser);
        if (value.isEmpty()) {
            throw error(key, "is missing");
        }
        return value.get();
    }

    <T> T get(String key, T fallback, Function<String, T> parser) throws ConfigException {
        return optional(key, parser).orElse(fallback);
    }

    <T> Optional<T> optional(String key, Function<String, T> parser) throws ConfigException {
        YamlNode node = mapping.entries().get(key);
        return node == null ? Optional.empty() : Optional.of(scalar(key, node, parser));
    }

    <T> List<T> list(String key, Function<String, T> parser) throws ConfigException {
        List<T> values = new ArrayList<>();
        for (YamlNode item : items(key)) {
            values.add(scalar(key, item, parser));
        }
        return values;
    }

    /** The mappings in the list under {@code key}; none if it is absent. */
    List<Section> sections(String key, Set<String> known) throws ConfigException {
        List<Section> sections = new ArrayList<>();
        for (YamlNode item : items(key)) {
            if (!(item instanceof Mapping entries)) {
                throw error(key, item, "must be a list of KEY: VALUE groups");
            }
            sections.add(new Section(file, path + key + "[" + sections.size() + "].", entries, known));
        }
        return sections;
    }

    Optional<Section> section(String key, Set<String> known) throws ConfigException {
        YamlNode node = mapping.entries().get(key);
        if (node == null) {
            return Optional.empty();
        }
        if (!(node instanceof Mapping entries)) {
            throw error(key, "must be a group of KEY: VALUE lines");
        }
        return Optional.of(new Section(file, path + key + ".", entries, known));
    }

    /** Runs a record's constructor and turns its complaint into one with file and line. */
    <T> T build(Supplier<T> constructor) throws ConfigException {
        try {
            return constructor.get();
        } catch (InvalidValueException e) {
            throw error(e.key(), e.complaint());
        }
    }

    ConfigException error(String key, String message) {
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
        if (text.isEmpty() && !key.equals("append")) {
            throw error(key, node, "has no value");
        }
        try {
            return parser.apply(text);
        } catch (IllegalArgumentException e) {
            throw error(key, node, String.valueOf(e.getMessage()));
        }
    }
}
