//! Ports and their layers. A layer stands in front of a port, changes what some methods do and passes the others on.

/// Declares a port, and a trait for the layers in front of it.
///
/// Each method of a layer passes the call on to the port behind it, through `call`; a write asks `before_write` first. So a method
/// that is added to a port is written in the port and in its adapters, and no layer changes. A layer that must not write
/// refuses the new method as well.
macro_rules! port {
    (
        $(#[$documentation:meta])*
        pub trait $port:ident $(: $super:ident)?, layer $layer:ident $(: $layer_super:ident)?, error $error:ty {
            $(
                $(#[$fact_documentation:meta])*
                fn $fact:ident(&self $(, $fact_argument:ident: $fact_type:ty)*) -> $fact_result:ty;
            )*
            reads: $(
                $(#[$read_documentation:meta])*
                async fn $read:ident(&self $(, $read_argument:ident: $read_type:ty)* $(,)?) -> $read_result:ty;
            )*
            writes: $(
                $(#[$write_documentation:meta])*
                async fn $write:ident(&self $(, $write_argument:ident: $write_type:ty)* $(,)?) -> $write_result:ty;
            )*
        }
    ) => {
        $(#[$documentation])*
        #[async_trait]
        pub trait $port: $($super +)? Send + Sync {
            $($(#[$fact_documentation])* fn $fact(&self $(, $fact_argument: $fact_type)*) -> $fact_result;)*
            $($(#[$read_documentation])* async fn $read(&self $(, $read_argument: $read_type)*) -> $read_result;)*
            $($(#[$write_documentation])* async fn $write(&self $(, $write_argument: $write_type)*) -> $write_result;)*
        }

        #[doc = concat!("A layer in front of [`", stringify!($port), "`], which has the same methods.")]
        #[async_trait]
        #[allow(missing_docs, reason = "the methods are those of the port")]
        pub trait $layer: $($layer_super +)? Send + Sync {
            /// The type of the port behind the layer.
            type Inner: $port + ?Sized;

            /// The port behind the layer.
            fn inner(&self) -> &<Self as $layer>::Inner;

            /// Called before a method that may change something; an error refuses it.
            fn before_write(&self, _method: &'static str) -> Result<(), $error> {
                Ok(())
            }

            /// Passes a call on. It has not begun before the future is polled.
            async fn call<T: Send>(
                &self,
                _method: &'static str,
                call: impl Future<Output = Result<T, $error>> + Send,
            ) -> Result<T, $error> {
                call.await
            }

            $(fn $fact(&self $(, $fact_argument: $fact_type)*) -> $fact_result {
                <Self as $layer>::inner(self).$fact($($fact_argument),*)
            })*

            $(async fn $read(&self $(, $read_argument: $read_type)*) -> $read_result {
                let call = <Self as $layer>::inner(self).$read($($read_argument),*);
                <Self as $layer>::call(self, stringify!($read), call).await
            })*

            $(async fn $write(&self $(, $write_argument: $write_type)*) -> $write_result {
                <Self as $layer>::before_write(self, stringify!($write))?;
                let call = <Self as $layer>::inner(self).$write($($write_argument),*);
                <Self as $layer>::call(self, stringify!($write), call).await
            })*
        }

        #[async_trait]
        impl<L: $layer> $port for L {
            $(fn $fact(&self $(, $fact_argument: $fact_type)*) -> $fact_result {
                $layer::$fact(self $(, $fact_argument)*)
            })*

            $(async fn $read(&self $(, $read_argument: $read_type)*) -> $read_result {
                $layer::$read(self $(, $read_argument)*).await
            })*

            $(async fn $write(&self $(, $write_argument: $write_type)*) -> $write_result {
                $layer::$write(self $(, $write_argument)*).await
            })*
        }
    };
}

pub(crate) use port;
