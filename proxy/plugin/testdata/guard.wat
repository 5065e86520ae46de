;; A plugin that refuses DELETEs which name no sharding key, sends what only reads to
;; replicas, and puts each key on the shard of its last digit.
;; "wat2wasm guard.wat" makes guard.wasm of it; [[plugins]] path = "guard.wasm" runs it.
(module
  (import "pgx" "log" (func $log (param $ptr i32) (param $len i32)))
  (memory (export "memory") 1)
  (global $free (mut i32) (i32.const 1024))
  (data (i32.const 16) "a DELETE has to name its key")
  (data (i32.const 64) "guard is ready")

  (func (export "pgx_abi") (result i32) (i32.const 1))

  ;; Memory is handed out and never taken back: the proxy asks only for more than before.
  (func (export "pgx_alloc") (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $free))
    (global.set $free (i32.add (global.get $free) (local.get $size)))
    (if (i32.gt_u (global.get $free) (i32.mul (memory.size) (i32.const 65536)))
      (then (if (i32.eq (memory.grow (i32.add (i32.div_u (local.get $size) (i32.const 65536)) (i32.const 1))) (i32.const -1))
        (then (unreachable)))))
    (local.get $at))

  (func (export "pgx_init") (param $ptr i32) (param $len i32) (result i32)
    (call $log (i32.const 64) (i32.const 14))
    ;; Settings other than none are refused.
    (local.get $len))

  (func (export "pgx_message") (result i64)
    (i64.or (i64.shl (i64.const 16) (i64.const 32)) (i64.const 28)))

  (func (export "pgx_route") (param $ptr i32) (param $len i32) (result i64)
    (local $key i32)
    (local $role i64)
    ;; flags & 1: it only reads
    (if (i32.and (i32.load offset=8 (local.get $ptr)) (i32.const 1))
      (then (local.set $role (i64.const 0x200))))
    ;; no keys
    (if (i32.eqz (i32.load offset=52 (local.get $ptr)))
      (then
        (if (i32.eq (i32.load offset=4 (local.get $ptr)) (i32.const 4))
          (then (return (i64.const 0xFFFFFFFF00000001))))
        (return (i64.or (i64.const 0xFFFFFFFF00000000) (local.get $role)))))
    ;; the value's last byte
    (local.set $key (i32.add (local.get $ptr) (i32.load offset=48 (local.get $ptr))))
    (i64.or
      (local.get $role)
      (i64.shl
        (i64.extend_i32_u
          (i32.rem_u
            (i32.load8_u
              (i32.sub
                (i32.add (i32.add (local.get $ptr) (i32.load offset=16 (local.get $key))) (i32.load offset=20 (local.get $key)))
                (i32.const 1)))
            (i32.load offset=12 (local.get $ptr))))
        (i64.const 32)))))
