// Command schema-generator writes the field tables that packages/api/src/generated/kubernetes-types.ts holds.
//
// Names, numbers, JSON tags and patch tags come from the Go types of k8s.io/api and k8s.io/apimachinery (the versions
// in go.mod); required fields and list types from the OpenAPI document of k8s.io/kubernetes. Descriptions are left out.
//
// Usage: schema-generator roots.txt swagger.json > kubernetes-types.ts
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// groups is the only thing to extend for a root kind of a group that is not here yet.
var groups = []func(*runtime.Scheme) error{
	authenticationv1.AddToScheme, authorizationv1.AddToScheme, autoscalingv1.AddToScheme, coordinationv1.AddToScheme,
	corev1.AddToScheme, eventsv1.AddToScheme, policyv1.AddToScheme,
	func(scheme *runtime.Scheme) error {
		metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
		return nil
	},
}

// Types with a JSON form of their own, by Go name.
var leaves = map[string]string{
	"resource.Quantity": "quantity", "v1.Time": "time", "v1.MicroTime": "microtime",
	"intstr.IntOrString": "intstr", "runtime.RawExtension": "raw", "v1.FieldsV1": "fields",
}

type property struct {
	ListType      string   `json:"x-kubernetes-list-type"`
	ListMapKeys   []string `json:"x-kubernetes-list-map-keys"`
	MapType       string   `json:"x-kubernetes-map-type"`
	PatchStrategy string   `json:"x-kubernetes-patch-strategy"`
	MergeKey      string   `json:"x-kubernetes-patch-merge-key"`
}

type definition struct {
	Properties map[string]property `json:"properties"`
	Required   []string            `json:"required"`
	MapType    string              `json:"x-kubernetes-map-type"`
}

type generator struct {
	definitions map[string]definition
	pending     []reflect.Type
	seen        map[string]bool
}

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, "schema-generator: "+format+"\n", arguments...)
	os.Exit(1)
}

func modelName(t reflect.Type) string {
	parts := strings.Split(t.PkgPath(), "/")
	host := strings.Split(parts[0], ".")
	for left, right := 0, len(host)-1; left < right; left, right = left+1, right-1 {
		host[left], host[right] = host[right], host[left]
	}
	return strings.Join(append(host, parts[1:]...), ".") + "." + t.Name()
}

// typeID is the model name without what all of them begin with.
func (g *generator) typeID(t reflect.Type) string {
	name := modelName(t)
	if !strings.HasPrefix(name, "io.k8s.") {
		fail("type %s is outside k8s.io", name)
	}
	if !g.seen[name] {
		g.seen[name] = true
		g.pending = append(g.pending, t)
	}
	return strings.TrimPrefix(name, "io.k8s.")
}

func (g *generator) typeText(t reflect.Type, wrapped bool) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if leaf, ok := leaves[t.String()]; ok {
		return leaf
	}
	named := ""
	if t.Name() != "" && t.PkgPath() != "" {
		named = "@" + t.String() + ":"
	}
	switch t.Kind() {
	case reflect.String:
		return named + "str"
	case reflect.Bool:
		return named + "bool"
	case reflect.Int32:
		return named + "i32"
	case reflect.Int64, reflect.Int:
		return named + "i64"
	case reflect.Float64:
		return named + "f64"
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			fail("map key of %s", t)
		}
		return named + "{}" + g.typeText(t.Elem(), true)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return named + "bytes"
		}
		// A named slice as a map's value is a message {repeated T items = 1} in protobuf.
		if wrapped && named != "" {
			return named + "<>" + g.typeText(t.Elem(), true)
		}
		return named + "[]" + g.typeText(t.Elem(), true)
	case reflect.Struct:
		return g.typeID(t)
	}
	fail("no text for type %s", t)
	return ""
}

func protobufNumber(tag string) string {
	if parts := strings.Split(tag, ","); len(parts) > 1 {
		return parts[1]
	}
	return "0"
}

// fields writes one line per field; isOwnMessage is false for TypeMeta, which protobuf carries outside of the message.
func (g *generator) fields(t reflect.Type, d definition, isOwnMessage bool, out *bufio.Writer) {
	for index := range t.NumField() {
		field := t.Field(index)
		options := strings.Split(field.Tag.Get("json"), ",")
		name, options := options[0], options[1:]
		if name == "-" || !field.IsExported() {
			continue
		}
		number := "0"
		if isOwnMessage {
			number = protobufNumber(field.Tag.Get("protobuf"))
		}
		if name == "" {
			if !field.Anonymous {
				fail("%s.%s has no JSON name", t, field.Name)
			}
			if number == "0" {
				g.fields(field.Type, d, false, out)
			} else {
				// Flattened in JSON, a message of its own in protobuf.
				fmt.Fprintf(out, "> %s %s\n", g.typeID(field.Type), number)
			}
			continue
		}
		flags := ""
		for _, option := range options {
			switch option {
			case "omitempty":
				flags += "o"
			case "omitzero":
				flags += "z"
			}
		}
		if field.Type.Kind() == reflect.Pointer {
			flags += "p"
		}
		for _, required := range d.Required {
			if required == name {
				flags += "r"
			}
		}
		if flags == "" {
			flags = "-"
		}
		line := fmt.Sprintf("%s %s %s %s", name, g.typeText(field.Type, false), number, flags)
		p := d.Properties[name]
		if p.ListType != "" {
			line += " list=" + p.ListType
		}
		if len(p.ListMapKeys) > 0 {
			line += " keys=" + strings.Join(p.ListMapKeys, ",")
		}
		if p.MapType != "" {
			line += " map=" + p.MapType
		}
		// The server merges by the tags of the Go types, not by the published document.
		if strategy := field.Tag.Get("patchStrategy"); strategy != "" {
			line += " patch=" + strategy
		}
		if key := field.Tag.Get("patchMergeKey"); key != "" {
			line += " mergeKey=" + key
		}
		fmt.Fprintln(out, line)
	}
}

func readRoots(path string) [][2]string {
	text, err := os.ReadFile(path)
	if err != nil {
		fail("%v", err)
	}
	var roots [][2]string
	for _, line := range strings.Split(string(text), "\n") {
		if words := strings.Fields(line); len(words) == 2 && words[0] != "#" {
			roots = append(roots, [2]string{words[0], words[1]})
		}
	}
	return roots
}

func main() {
	if len(os.Args) != 3 {
		fail("usage: schema-generator roots.txt swagger.json")
	}
	text, err := os.ReadFile(os.Args[2])
	if err != nil {
		fail("%v", err)
	}
	var document struct {
		Definitions map[string]definition `json:"definitions"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		fail("%v", err)
	}
	scheme := runtime.NewScheme()
	for _, add := range groups {
		if err := add(scheme); err != nil {
			fail("%v", err)
		}
	}
	g := &generator{definitions: document.Definitions, seen: map[string]bool{}}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	fmt.Fprintln(out, "// Written by packages/api/scripts/schema-generator; its README says from what and how to read it.")
	fmt.Fprintln(out, "export const kubernetesTypes = `")
	for _, root := range readRoots(os.Args[1]) {
		gv, err := schema.ParseGroupVersion(root[0])
		if err != nil {
			fail("%v", err)
		}
		object, err := scheme.New(gv.WithKind(root[1]))
		if err != nil {
			fail("%v", err)
		}
		t := reflect.TypeOf(object).Elem()
		fmt.Fprintf(out, "* %s %s %s\n", root[0], root[1], g.typeID(t))
	}
	blocks := map[string]string{}
	for len(g.pending) > 0 {
		t := g.pending[0]
		g.pending = g.pending[1:]
		d := g.definitions[modelName(t)]
		var block strings.Builder
		writer := bufio.NewWriter(&block)
		mapType := ""
		if d.MapType != "" {
			mapType = " map=" + d.MapType
		}
		fmt.Fprintf(writer, "= %s%s\n", strings.TrimPrefix(modelName(t), "io.k8s."), mapType)
		g.fields(t, d, true, writer)
		writer.Flush()
		blocks[modelName(t)] = block.String()
	}
	names := make([]string, 0, len(blocks))
	for name := range blocks {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprint(out, blocks[name])
	}
	fmt.Fprintln(out, "`;")
}
