"""Series of FEI's TIA: ``.ser`` files, and the ``.emi`` that describes them."""
