// SPDX-License-Identifier: MIT OR Apache-2.0

//! `#[derive(Shared)]` of the crate `rshm`, which has it as `rshm::Shared`, and documents it.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{parse_macro_input, spanned::Spanned, Data, DeriveInput, Error, Index, Result};

/// Implements `rshm::Shared` for a structure with `#[repr(C)]` whose fields are all `Shared`, and
/// that has no padding. Anything else does not compile, with a message that says why.
#[proc_macro_derive(Shared)]
pub fn shared(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input)
        .unwrap_or_else(Error::into_compile_error)
        .into()
}

fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(structure) = &input.data else {
        let problem = "only a structure can be Shared: others can write any bytes, also those that are no value of an enum";
        return Err(Error::new(input.ident.span(), problem));
    };
    if !input.generics.params.is_empty() {
        let problem =
            "a Shared structure has no parameters: all processes must have the same layout";
        return Err(Error::new(input.generics.span(), problem));
    }
    check_layout(input)?;

    let name = &input.ident;
    let types: Vec<_> = structure.fields.iter().map(|field| &field.ty).collect();
    let places = structure.fields.iter().enumerate().map(|(index, field)| {
        let ty = &field.ty;
        let index = Index::from(index);
        let member = field
            .ident
            .as_ref()
            .map_or_else(|| quote!(#index), |ident| quote!(#ident));
        // An error about a type that is not Shared points at the field.
        let span = ty.span().resolved_at(Span::call_site());
        quote_spanned! {span=>
            <#ty as ::rshm::Shared>::places(at + ::core::mem::offset_of!(#name, #member), 1, place);
        }
    });
    let padding = format!("{name} has padding, which cannot be Shared: add fields in its place");
    Ok(quote! {
        // SAFETY: It is of C's layout, has no padding, and consists of fields that are Shared, each
        // of which tells its places.
        unsafe impl ::rshm::Shared for #name {
            fn places(at: usize, count: usize, place: &mut dyn FnMut(usize, usize, usize)) {
                for index in 0..count {
                    let at = at + index * ::core::mem::size_of::<#name>();
                    #(#places)*
                }
            }
        }
        const _: () = ::core::assert!(
            ::core::mem::size_of::<#name>() == 0 #(+ ::core::mem::size_of::<#types>())*,
            #padding
        );
    })
}

/// The layout is C's, and fields are where their types may be.
fn check_layout(input: &DeriveInput) -> Result<()> {
    let mut is_c = false;
    for attribute in &input.attrs {
        if !attribute.path().is_ident("repr") {
            continue;
        }
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("packed") {
                return Err(
                    meta.error("a packed structure cannot be Shared: its atomics are not aligned")
                );
            }
            is_c |= meta.path.is_ident("C");
            if meta.input.peek(syn::token::Paren) {
                let content;
                syn::parenthesized!(content in meta.input);
                content.parse::<TokenStream>()?;
            }
            Ok(())
        })?;
    }
    if is_c {
        Ok(())
    } else {
        let problem =
            "a Shared structure needs #[repr(C)]: Rust's own layout may differ from program to program";
        Err(Error::new(input.ident.span(), problem))
    }
}
