(* Reads operations, one a line, and answers each with the whole state in one line. *)

open Model

let flag n = n <> 0
let rights bits =
  { r_read = flag (bits land 2); r_write = flag (bits land 1); r_grant = flag (bits land 4); r_reply = flag (bits land 8) }

let bits r =
  (if r.r_read then 2 else 0) + (if r.r_write then 1 else 0) + (if r.r_grant then 4 else 0) + (if r.r_reply then 8 else 0)

(* slot, parent (-1: none), original, base, size, and: 0 and what is used, or 1, rights and badge *)
let rec show parent (Node (s, original, c, kids)) =
  let cap =
    match c with
    | Untyped (b, n, u) -> Printf.sprintf "%d %d 0 %d 0" b n u
    | Object (b, n, r, g) -> Printf.sprintf "%d %d 1 %d %d" b n (bits r) g
  in
  Printf.printf "%d %d %d %s;" s parent (if original then 1 else 0) cap;
  List.iter (show s) kids

let operation line =
  match String.split_on_char ' ' line with
  | "copy" :: a -> (match List.map int_of_string a with [s; d; m] -> Copy (s, d, rights m) | _ -> failwith line)
  | "mint" :: a -> (match List.map int_of_string a with [s; d; m; g] -> Mint (s, d, rights m, g) | _ -> failwith line)
  | "move" :: a -> (match List.map int_of_string a with [s; d] -> Move (s, d) | _ -> failwith line)
  | "delete" :: [s] -> Delete (int_of_string s)
  | "revoke" :: [s] -> Revoke (int_of_string s)
  | "reset" :: [s] -> Reset (int_of_string s)
  | "retype" :: a -> (match List.map int_of_string a with [u; d; at; n] -> Retype (u, d, at, n) | _ -> failwith line)
  | "untyped" :: a ->
    (match List.map int_of_string a with [u; d; at; n] -> RetypeUntyped (u, d, at, n) | _ -> failwith line)
  | _ -> failwith line

(* The first line is the untyped that there is at the start, in slot 0: base and size. *)
let () =
  let first = Scanf.sscanf (input_line stdin) "%d %d" (fun b n -> Node (0, true, Untyped (b, n, 0), [])) in
  let state = ref [first] in
  try
    while true do
      state := perform !state (operation (input_line stdin));
      List.iter (show (-1)) !state;
      print_newline ()
    done
  with End_of_file -> ()
