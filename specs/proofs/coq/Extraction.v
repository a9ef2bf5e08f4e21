(** The model as a program in OCaml, to be run beside the specification in Python. *)

Require Import Capabilities.
Require Import Extraction ExtrOcamlBasic ExtrOcamlNatInt.

Extraction "model.ml" perform.
