// Command vectors writes what k8s.io/apimachinery itself makes of bodies and patches; the tests of the decoders and
// patches are held against it. The random cases come from a fixed seed.
//
// Usage: vectors bodies|objects|patches [bodies.txt] > file.json
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand"
	"os"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	serializerjson "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/randfill"
	"time"
)

var scheme = runtime.NewScheme()

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, "vectors:", err)
		os.Exit(1)
	}
	return value
}

func write(rows []any) {
	fmt.Println("[")
	for index, row := range rows {
		comma := ","
		if index == len(rows)-1 {
			comma = ""
		}
		fmt.Printf("%s%s\n", must(json.Marshal(row)), comma)
	}
	fmt.Println("]")
}

type body struct {
	Kind         string          `json:"kind"`
	Body         string          `json:"body"`
	Object       json.RawMessage `json:"object,omitempty"`
	StrictErrors []string        `json:"strictErrors,omitempty"`
	Error        string          `json:"error,omitempty"`
}

// bodies decodes each line "apiVersion Kind JSON" as kube-apiserver would.
func bodies(path string) []any {
	strict := serializerjson.NewSerializerWithOptions(serializerjson.DefaultMetaFactory, scheme, scheme, serializerjson.SerializerOptions{Strict: true})
	var rows []any
	for _, line := range strings.Split(string(must(os.ReadFile(path))), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		words := strings.SplitN(line, " ", 3)
		gvk := must(schema.ParseGroupVersion(words[0])).WithKind(words[1])
		row := body{Kind: words[0] + " " + words[1], Body: words[2]}
		object, _, err := strict.Decode([]byte(words[2]), &gvk, nil)
		if strictError, ok := runtime.AsStrictDecodingError(err); ok {
			for _, e := range strictError.Errors() {
				row.StrictErrors = append(row.StrictErrors, e.Error())
			}
		} else if err != nil {
			row.Error = err.Error()
		}
		if row.Error == "" {
			var out bytes.Buffer
			if err := strict.Encode(object, &out); err != nil {
				panic(err)
			}
			row.Object = json.RawMessage(bytes.TrimSpace(out.Bytes()))
		}
		rows = append(rows, row)
	}
	return rows
}

type object struct {
	JSON     json.RawMessage `json:"json"`
	Protobuf []byte          `json:"protobuf"`
}

// objects fills kinds at random and writes each in JSON and in protobuf.
func objects() []any {
	random := rand.New(rand.NewSource(20))
	filler := randfill.New().RandSource(rand.NewSource(7)).NilChance(.75).NumElements(1, 2).MaxDepth(12).Funcs(
		func(s *string, c randfill.Continue) { *s = []string{"", "a", "b-1", "grün", "x/y"}[random.Intn(5)] },
		func(t *metav1.Time, c randfill.Continue) {
			if random.Intn(3) > 0 {
				*t = metav1.Unix(int64(random.Intn(2000000000)), 0).Rfc3339Copy()
			}
		},
		func(t *metav1.MicroTime, c randfill.Continue) {
			*t = metav1.MicroTime{Time: time.Unix(int64(random.Intn(2000000000)), int64(random.Intn(1000000))*1000).UTC()}
		},
		func(q *resource.Quantity, c randfill.Continue) {
			*q = resource.MustParse([]string{"0", "100m", "1", "1536Mi", "2e3", "-5", "10n"}[random.Intn(7)])
		},
		func(v *intstr.IntOrString, c randfill.Continue) {
			*v = []intstr.IntOrString{intstr.FromInt32(0), intstr.FromInt32(8080), intstr.FromString("http")}[random.Intn(3)]
		},
		func(f *metav1.FieldsV1, c randfill.Continue) { f.Raw = []byte(`{"f:spec":{}}`) },
		func(r *runtime.RawExtension, c randfill.Continue) {},
		func(i *int64, c randfill.Continue) { *i = random.Int63n(1<<53) - 1<<52 },
		func(t *metav1.TypeMeta, c randfill.Continue) {},
	)
	kinds := []runtime.Object{
		&corev1.Pod{}, &corev1.Pod{}, &corev1.Pod{}, &corev1.Pod{}, &corev1.Pod{}, &corev1.Pod{}, &corev1.Node{}, &corev1.Node{},
		&corev1.Event{}, &corev1.Secret{}, &corev1.ConfigMap{}, &corev1.Namespace{}, &corev1.ServiceAccount{}, &corev1.Binding{},
		&coordinationv1.Lease{}, &eventsv1.Event{}, &policyv1.Eviction{}, &authorizationv1.SubjectAccessReview{}, &metav1.Status{},
	}
	toJSON := serializerjson.NewSerializerWithOptions(serializerjson.DefaultMetaFactory, scheme, scheme, serializerjson.SerializerOptions{})
	toProtobuf := protobuf.NewSerializer(scheme, scheme)
	var rows []any
	for round := 0; round < 3; round++ {
		for _, kind := range kinds {
			filled := kind.DeepCopyObject()
			filler.Fill(filled)
			filled.GetObjectKind().SetGroupVersionKind(must(kindOf(filled)))
			var text, binary bytes.Buffer
			must(0, toJSON.Encode(filled, &text))
			must(0, toProtobuf.Encode(filled, &binary))
			rows = append(rows, object{bytes.TrimSpace(text.Bytes()), binary.Bytes()})
		}
	}
	return rows
}

func kindOf(o runtime.Object) (schema.GroupVersionKind, error) {
	kinds, _, err := scheme.ObjectKinds(o)
	return kinds[0], err
}

type patch struct {
	Current json.RawMessage `json:"current"`
	Patch   json.RawMessage `json:"patch"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   string          `json:"error,omitempty"`
}

var random = rand.New(rand.NewSource(42))

func pick(options ...string) string { return options[random.Intn(len(options))] }
func chance(percent int) bool       { return random.Intn(100) < percent }

func list(most int, make func(used map[string]bool) any) []any {
	used, out := map[string]bool{}, []any{}
	for range random.Intn(most + 1) {
		if element := make(used); element != nil {
			out = append(out, element)
		}
	}
	return out
}

// named makes an element whose key is not in the list yet.
func named(used map[string]bool, key string, names []string, rest map[string]any) any {
	name := pick(names...)
	if used[name] {
		return nil
	}
	used[name] = true
	rest[key] = name
	return rest
}

func container(used map[string]bool) any {
	return named(used, "name", []string{"a", "b", "c", "d"}, map[string]any{
		"image": pick("x:1", "x:2"),
		"env": list(4, func(used map[string]bool) any {
			return named(used, "name", []string{"A", "B", "C", "D"}, map[string]any{"value": pick("1", "2")})
		}),
		"args": list(2, func(map[string]bool) any { return pick("p", "q") }),
		"ports": list(2, func(used map[string]bool) any {
			port := 80 + random.Intn(3)
			if used[fmt.Sprint(port)] {
				return nil
			}
			used[fmt.Sprint(port)] = true
			return map[string]any{"containerPort": port, "protocol": pick("TCP", "UDP")}
		}),
		"resources": map[string]any{"limits": map[string]any{"cpu": pick("1", "2")}},
	})
}

func scalars(most int) []any {
	return list(most, func(used map[string]bool) any {
		value := pick("f/1", "f/2", "f/3", "f/4")
		if used[value] {
			return nil
		}
		used[value] = true
		return value
	})
}

func pod() map[string]any {
	p := map[string]any{
		"metadata": map[string]any{
			"name": "p", "labels": map[string]any{"a": pick("1", "2"), pick("b", "c"): "x"}, "finalizers": scalars(4),
			"ownerReferences": list(2, func(used map[string]bool) any {
				return named(used, "uid", []string{"u1", "u2"}, map[string]any{"name": pick("n", "m")})
			}),
		},
		"spec": map[string]any{
			"containers": list(4, container),
			"volumes": list(3, func(used map[string]bool) any {
				source := pick("emptyDir", "configMap")
				return named(used, "name", []string{"v", "w", "x"}, map[string]any{source: map[string]any{}})
			}),
			"tolerations": list(2, func(map[string]bool) any { return map[string]any{"key": pick("k", "l")} }),
		},
	}
	if chance(30) {
		delete(p["spec"].(map[string]any), pick("containers", "volumes", "tolerations"))
	}
	return p
}

// disturb puts directives into a patch at random places.
func disturb(value any) any {
	switch typed := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(typed)) {
			member := typed[key]
			switch {
			case key == "name" || key == "uid" || key == "containerPort":
				// An element without its key is refused here; upstream, null is a key like any other.
			case chance(4):
				typed[key] = nil
			case chance(3):
				delete(typed, key)
			default:
				typed[key] = disturb(member)
			}
		}
		if chance(3) {
			typed["$patch"] = pick("replace", "delete", "merge")
		}
		if _, ok := typed["finalizers"]; ok && chance(40) {
			typed["$deleteFromPrimitiveList/finalizers"] = scalars(2)
			delete(typed, "finalizers")
		}
		if finalizers, ok := typed["finalizers"]; ok && chance(30) {
			typed["$setElementOrder/finalizers"] = finalizers
		}
		if chance(3) {
			keys := []any{}
			for _, key := range slices.Sorted(maps.Keys(typed)) {
				keys = append(keys, key)
			}
			typed["$retainKeys"] = keys
		}
		return typed
	case []any:
		for index := range typed {
			typed[index] = disturb(typed[index])
		}
		if len(typed) > 0 && chance(3) {
			if _, ok := typed[0].(map[string]any); ok {
				return append(typed, map[string]any{"$patch": "replace"})
			}
		}
		return typed
	default:
		return value
	}
}

func patches() []any {
	meta := must(strategicpatch.NewPatchMetaFromStruct(corev1.Pod{}))
	var rows []any
	for index := 0; index < 120; index++ {
		row := patch{Current: must(json.Marshal(pod()))}
		switch modified := must(json.Marshal(pod())); index % 3 {
		case 0: // kubectl edit
			row.Patch = must(strategicpatch.CreateTwoWayMergePatch(row.Current, modified, corev1.Pod{}))
		case 1: // kubectl apply
			last := must(json.Marshal(pod()))
			row.Patch = must(strategicpatch.CreateThreeWayMergePatch(last, modified, row.Current, meta, true))
		default:
			row.Patch = must(json.Marshal(disturb(pod())))
		}
		var current, change map[string]any
		must(0, json.Unmarshal(row.Current, &current))
		must(0, json.Unmarshal(row.Patch, &change))
		result, err := strategicpatch.StrategicMergeMapPatchUsingLookupPatchMeta(current, change, meta)
		if err != nil {
			row.Error = err.Error()
		} else {
			row.Result = must(json.Marshal(result))
		}
		rows = append(rows, row)
	}
	return rows
}

func main() {
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, coordinationv1.AddToScheme, eventsv1.AddToScheme, policyv1.AddToScheme, authorizationv1.AddToScheme,
	} {
		must(0, add(scheme))
	}
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	switch {
	case len(os.Args) == 3 && os.Args[1] == "bodies":
		write(bodies(os.Args[2]))
	case len(os.Args) == 2 && os.Args[1] == "objects":
		write(objects())
	case len(os.Args) == 2 && os.Args[1] == "patches":
		write(patches())
	default:
		fmt.Fprintln(os.Stderr, "usage: vectors bodies bodies.txt | objects | patches")
		os.Exit(2)
	}
}
