package guest

import (
	"github.com/tetratelabs/wazero/api"

	"github.com/pgx-dev/pgx-dev/engines/wasm/wasmbin"
)

// callback returns the Go side of a callback.
func callback(name string) func(in *Instance, s []uint64) {
	switch name {
	case "read":
		return func(in *Instance, s []uint64) {
			n := 0
			if b, ok := in.Memory().Read(uint32(s[0]), uint32(s[1])); ok && in.Read != nil {
				n = in.Read(b)
			}
			s[0] = uint64(uint32(int32(n)))
		}
	case "write":
		return func(in *Instance, s []uint64) {
			b, ok := in.Memory().Read(uint32(s[0]), uint32(s[1]))
			if ok && in.Write != nil {
				in.Write(b)
			}
			s[0] = uint64(uint32(len(b)))
		}
	case "system":
		return func(in *Instance, s []uint64) {
			r := int32(-1)
			if in.system != nil {
				r = in.system(in.Proc.String(uint32(s[0])))
			}
			s[0] = uint64(uint32(r))
		}
	case "popen":
		return func(in *Instance, s []uint64) {
			var file uint32
			if in.popen != nil {
				file = in.popen(in.Proc.String(uint32(s[0])), in.Proc.String(uint32(s[1])))
			}
			s[0] = uint64(file)
		}
	default: // pclose
		return func(in *Instance, s []uint64) {
			r := int32(-1)
			if in.pclose != nil {
				r = in.pclose(uint32(s[0]))
			}
			s[0] = uint64(uint32(r))
		}
	}
}

// installCallbacks reserves a table slot for each callback and fills it with a function
// that calls the host. It is a function of a wasm module that is put there, not the host's
// own: wazero's LookupFunction finds the wrong function for a slot that holds an import.
func (in *Instance) installCallbacks() error {
	main := map[string]api.Module{"pg": in.table}
	var w wasmbin.Builder
	w.ImportTable("pg", "__indirect_function_table", 1)
	w.Export("grow", wasmbin.KindFunc, w.TableGrow())
	m, err := in.link(withModules(in.ctx, main), w.Bytes())
	if err != nil {
		return err
	}
	in.growFn = m.ExportedFunction("grow")
	base, err := in.growTable(uint32(len(callbacks)))
	if err != nil {
		return err
	}
	w = wasmbin.Builder{}
	var imported, funcs []uint32
	for _, c := range callbacks {
		imported = append(imported, w.ImportFunc(hostCallbacks, c.name, c.typ))
	}
	w.ImportTable("pg", "__indirect_function_table", 1)
	for i, c := range callbacks {
		funcs = append(funcs, w.Forward(c.typ, imported[i]))
	}
	w.Elements(base, funcs)
	if _, err := in.link(withModules(in.ctx, main), w.Bytes()); err != nil {
		return err
	}
	in.slots["callbacks"] = base
	return nil
}

// registerCallbacks runs the constructors and tells the guest the callbacks' slots.
func (in *Instance) registerCallbacks() {
	base := uint64(in.slots["callbacks"])
	in.Call("__wasm_call_ctors")
	in.Call("pgl_set_system_fn", base+2)
	in.Call("pgl_set_popen_fn", base+3)
	in.Call("pgl_set_pclose_fn", base+4)
	if in.main.ExportedFunction("pgl_set_rw_cbs") != nil {
		in.Call("pgl_set_rw_cbs", base, base+1)
	}
}
